"""A config is right, or one sentence says which key of which file is wrong, what was expected and what was found."""

import copy
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from deqbench import config, jobs
from deqbench.config import methods
from deqbench.data.datasets import DATASETS
from deqbench.diffusion.samplers import sampler
from deqbench.errors import UserError
from deqbench.solvers.solve import _METHODS

ROOT = Path(__file__).parents[1] / "config"
SCALES = sorted(path.name for path in ROOT.glob("*.yaml") if path.name != "zoo.yaml")
PAPER = "papers.deq-ddim"


def changed(place: str, value: Any) -> dict[str, Any]:
    """The smoke scale with one value set, or taken away by `...`. place: keys with slashes between them."""
    values = yaml.safe_load((ROOT / "smoke.yaml").read_text(encoding="utf-8"))
    *outer, last = place.split("/")
    node = values
    for key in outer:
        node = node[key]
    if value is ...:
        del node[last]
    else:
        node[last] = copy.deepcopy(value)
    return values


def sentence_about(values: Any) -> str:
    with pytest.raises(UserError) as caught:
        config.validate(values, "some.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", SCALES)
def test_every_shipped_scale_is_valid_and_named_after_its_file(name):
    assert config.load(ROOT / name).scale == Path(name).stem


def test_the_recipes_of_the_zoo_are_valid():
    assert {"digits", "tissue", "digits-features", "tissue-features"} <= config.recipes(ROOT / "zoo.yaml").keys()


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (
            "sede",
            3,
            "sede: expected one of datasets, limits, networks, papers, scale, seed;"
            " found an unknown key (did you mean 'seed'?)",
        ),
        (
            "papers/deq-ddim/table-1/scores/digits/image",
            3,
            f"{PAPER}.table-1.scores.digits.image: expected one of T, images, methods, shards; found an unknown key"
            " (did you mean 'images'?)",
        ),
        (
            "papers/deq-ddim/methods/ddim/optoins",
            {},
            f"{PAPER}.methods.ddim.optoins: expected one of eta, options, preset, sampler, variance;"
            " found an unknown key (did you mean 'options'?)",
        ),
        ("papers/deq-ddim/table_1", {}, "found an unknown key (did you mean 'table-1'?)"),
        (
            "papers/deq-dim",
            {},
            "expected one of decoder-inversion, deq-ddim; found an unknown key (did you mean 'deq-ddim'?)",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_known_one(place, value, sentence):
    found = sentence_about(changed(place, value))
    assert found.startswith("some.yaml: ") and found.endswith(sentence)


@pytest.mark.parametrize(
    ("place", "value", "key", "nearest"),
    [
        ("papers/deq-ddim/methods/ddim/sampler", "sequentail", f"{PAPER}.methods.ddim.sampler", "sequential"),
        (
            "papers/deq-ddim/methods/deq-ddim-3-steps/options/solver",
            "andersen",
            f"{PAPER}.methods.deq-ddim-3-steps.options.solver",
            "anderson",
        ),
        ("papers/deq-ddim/methods/deq-ddim-paper/preset", "papre", f"{PAPER}.methods.deq-ddim-paper.preset", "paper"),
        ("papers/deq-ddim/table-1/baseline", "dim", f"{PAPER}.table-1.baseline", "ddim"),
        ("papers/deq-ddim/table-1/methods", ["ddim", "deq-dim-paper"], f"{PAPER}.table-1.methods", "deq-ddim-paper"),
        ("papers/deq-ddim/table-1/timed", ["dimm"], f"{PAPER}.table-1.timed", "ddim"),
        (
            "papers/deq-ddim/table-1/scores/digits/methods",
            ["ddim", "dimm"],
            f"{PAPER}.table-1.scores.digits.methods",
            "ddim",
        ),
        ("papers/deq-ddim/figure-2/method", "deq-ddim-papre", f"{PAPER}.figure-2.method", "deq-ddim-paper"),
        ("papers/deq-ddim/table-1/scores/digts", {"T": 5, "images": 40}, f"{PAPER}.table-1.scores", "digits"),
        ("papers/deq-ddim/table-1/times/digts", {"T": 5, "repeats": 2}, f"{PAPER}.table-1.times", "digits"),
        ("papers/deq-ddim/figure-1/datasets/digts", {"runs": {5: 2}}, f"{PAPER}.figure-1.datasets", "digits"),
        ("papers/deq-ddim/figure-2/datasets/digts", {"T": 10, "every": 5}, f"{PAPER}.figure-2.datasets", "digits"),
        ("datasets/digits/source", "digts", "datasets.digits.source", "digits"),
        ("datasets/digits/checkpoint/source", "zo", "datasets.digits.checkpoint.source", "zoo"),
        ("datasets/digits/grid", "uniform-releasd", "datasets.digits.grid", "uniform-released"),
    ],
)
def test_an_unknown_name_is_refused_with_its_key_and_the_nearest_known_one(place, value, key, nearest):
    found = sentence_about(changed(place, value))
    assert found.startswith(f"some.yaml: {key}: expected one of ")
    assert "; found " in found and found.endswith(f"(did you mean '{nearest}'?)")


SHOWN = {"T": 20, "every": 5}
OPTIONS = "papers/deq-ddim/methods/deq-ddim-3-steps/options"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"max_itre": 3}, "max_itre: expected one of beta, "),
        ({"max_itre": 3}, "; found an unknown key (did you mean 'max_iter'?)"),
        ({"rigde": 0.1}, "; found an unknown key (did you mean 'ridge'?)"),
        ({"damping": 0.5}, "damping: expected one of beta, "),  # Picard's, and the preset takes Anderson
        ({"max_iter": "3"}, 'max_iter: expected a valid integer; found "3"'),
        ({"max_iter": True}, "max_iter: expected a valid integer; found true"),
        ({"tol": "1e-3"}, 'tol: expected a valid number; found "1e-3"'),
        (
            {"mixing": "timestpe"},
            "; found \"timestpe\" (did you mean 'timestep'?)",
        ),
        ({"start": "zeroes"}, "start: expected one of x_T, zeros, gaussian; found \"zeroes\" (did you mean 'zeros'?)"),
        ({"on_round": None}, "on_round: expected one of beta, "),
    ],
)
def test_an_option_that_the_method_would_refuse_is_refused_before_anything_runs(value, words):
    found = sentence_about(changed(OPTIONS, value))
    assert found.startswith(f"some.yaml: {OPTIONS.replace('/', '.')}.") and words in found


def test_the_options_of_a_solver_are_those_of_the_one_that_is_named():
    config.validate(
        changed("papers/deq-ddim/methods/deq-ddim-picard/options", {"solver": "picard", "damping": 0.5}), ""
    )
    found = sentence_about(changed("papers/deq-ddim/methods/deq-ddim-picard/options", {"solver": "picard", "m": 3}))
    assert "options.m: expected one of damping, max_iter, " in found


def test_a_preset_of_another_sampler_is_refused_by_the_preset_s_option():
    found = sentence_about(
        changed("papers/deq-ddim/methods/deq-ddim-paper", {"sampler": "windowed", "preset": "paper"})
    )
    assert found.startswith("some.yaml: papers.deq-ddim.methods.deq-ddim-paper.preset paper.")
    assert ": expected one of " in found and "found an unknown key" in found


@pytest.mark.parametrize("name", config.modules("diffusion/samplers"))
def test_the_options_read_from_a_sampler_s_file_are_those_of_its_function(name):
    parameters = inspect.signature(sampler(name)).parameters.values()
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    read, open_ended = methods._options("diffusion/samplers", name)
    assert {option: default for option, (_, default) in read.items()} == options
    assert open_ended == any(p.kind is p.VAR_KEYWORD for p in parameters)
    assert methods.wrong_option("diffusion/samplers", name, options) is None


def test_a_default_by_name_or_sign_hides_no_option(tmp_path, monkeypatch):
    text = "LOW = 3\ndef sample(chain, *, nodes: int = LOW, shift: float = -1.0):\n    return chain\n"
    (tmp_path / "made.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(methods, "PACKAGE", tmp_path)
    monkeypatch.setattr(methods, "_options", methods._options.__wrapped__)
    assert methods.wrong_option("", "made", {"nodes": 5, "shift": 2.0}) is None
    assert methods._options("", "made")[0] == {"nodes": (int, None), "shift": (float, -1.0)}
    assert "nodes: expected a valid integer" in methods.wrong_option("", "made", {"nodes": "many"})


@pytest.mark.parametrize("name", config.modules("solvers"))
def test_the_options_read_from_a_solver_s_file_are_those_of_its_class(name):
    known = inspect.signature(_METHODS[name]).parameters.values()
    assert {o: default for o, (_, default) in methods._options("solvers", name)[0].items()} == {
        p.name: p.default for p in known
    }


def test_reading_a_config_loads_neither_torch_nor_data_frames():
    code = "import sys; from deqbench import config; config.load(sys.argv[1]); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, ROOT / "demo.yaml"], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "scipy", "diffusers"} & set(ran.stdout.split())


T = "papers/deq-ddim/table-1/scores/digits/T"
LONGEST = "papers/deq-ddim/table-1/times/digits/longest_s"
ETA = "papers/deq-ddim/methods/ddim/eta"
RUNS = "papers/deq-ddim/figure-1/datasets/digits/runs"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (T, "many", ': expected a valid integer; found "many"'),
        (T, [10, "x"], '.1: expected a valid integer; found "x"'),
        (T, 0, ": expected a number greater than or equal to 1; found 0"),
        (T, [], ": expected at least 1 entry; found []"),
        ("papers/deq-ddim/table-1/scores/digits/images", ..., ": expected a value; found none"),
        ("papers/deq-ddim/table-1", ..., ": expected a value; found none"),
        (LONGEST, -1, ": expected a number greater than 0; found -1"),
        (LONGEST, float("inf"), ": expected a finite number; found Infinity"),
        (ETA, 1.5, ": expected a number less than or equal to 1; found 1.5"),
        (ETA, -0.1, ": expected a number greater than or equal to 0; found -0.1"),
        (ETA, float("nan"), ": expected a finite number; found NaN"),
        (RUNS, {"x": 3}, '.x: expected a valid integer; found "x"'),
        (RUNS, {10: 1}, ".10: expected a number greater than or equal to 2; found 1"),
        ("papers/deq-ddim/methods/ddim", [], ": expected a section with keys; found []"),
        ("seed", -1, ": expected a number greater than or equal to 0; found -1"),
        ("scale", "../up", ': expected small letters, digits and hyphens; found "../up"'),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_what_was_expected_and_what_was_found(place, value, words):
    assert sentence_about(changed(place, value)) == f"some.yaml: {place.replace('/', '.')}{words}"


def test_a_data_set_scores_all_methods_unless_it_names_some_and_the_baseline_is_among_them():
    place = "papers/deq-ddim/table-1/scores/digits/methods"
    table = config.load(ROOT / "smoke.yaml").papers.deq_ddim.table_1
    assert table.scored("digits") == table.methods
    few = config.validate(changed(place, ["ddim", "deq-ddim-paper"]), "").papers.deq_ddim.table_1
    assert few.scored("digits") == ["ddim", "deq-ddim-paper"]
    assert sentence_about(changed(place, ["deq-ddim-paper"])).startswith(
        f"some.yaml: {PAPER}.table-1.baseline: expected one of deq-ddim-paper; found 'ddim'"
    )


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("table-2/eta", {}, "table-2.eta.digits: expected a list of eta; found none"),
        ("table-2/eta/digits", [0.5], "table-2.eta.digits: expected 1 among them, for ddpm-large; found [0.5]"),
        ("table-2/eta/digits", [1.5], "table-2.eta.digits.0: expected a number less than or equal to 1; found 1.5"),
        (
            "table-2/baseline",
            "ddpm-large",
            "table-2.baseline: expected a method of eta 0, to be walked at each; found another",
        ),
        ("table-2/methods", ["ddim", "deq-sdim-paper"], "(did you mean 'deq-sddim-paper'?)"),
        ("table-2/scores/digts", {"T": 5, "images": 40}, "(did you mean 'digits'?)"),
        ("figure-11/methods", ["deq-sdim-paper"], "(did you mean 'deq-sddim-paper'?)"),
        ("figure-1/datasets/digits/also/picrad", {"runs": {5: 2}, "rounds": 5}, "figure-1.datasets.digits.also: "),
        ("figure-12/datasets/digts", 10, "(did you mean 'digits'?)"),
        ("figure-18/method", "deq-ddim-papre", "(did you mean 'deq-ddim-paper'?)"),
    ],
)
def test_what_does_not_fit_in_a_stochastic_experiment_is_refused_with_its_key(place, value, sentence):
    found = sentence_about(changed(f"papers/deq-ddim/{place}", value))
    assert found.startswith(f"some.yaml: {PAPER}.{place.split('/')[0]}.") and sentence in found


@pytest.mark.parametrize("name", ["table-2", "figure-11", "figure-12", "figure-18"])
def test_a_scale_may_leave_an_experiment_out(name):
    found = config.validate(changed(f"papers/deq-ddim/{name}", ...), "").papers.deq_ddim
    assert found.experiment(name) is None and found.sections("table-1", name).keys() == {"table-1"}


def test_every_method_is_walked_at_each_eta_but_one_with_its_own_at_that_only():
    known = config.load(ROOT / "smoke.yaml").papers.deq_ddim.methods
    methods = {name: known[name] for name in ("ddpm-large", "ddim")}
    found = jobs.at_each(methods, [0.2, 1])
    assert [{name: method.eta for name, method in walked.items()} for walked in found] == [
        {"ddim": 0.2},
        {"ddpm-large": 1, "ddim": 1},
    ]
    assert jobs.at_each(methods, []) == [methods]


def test_one_chain_and_a_list_of_one_show_the_same_latents():
    place = "papers/deq-ddim/figure-2/datasets/digits"
    one, listed = (config.validate(changed(place, v), "") for v in (SHOWN, [SHOWN]))
    assert one == listed


def test_a_data_set_is_a_printed_row_or_stands_in_for_one_but_not_both():
    found = sentence_about(changed("datasets/digits/printed_as", "CIFAR10"))
    assert found == "some.yaml: datasets.digits: expected one of stands_in_for, printed_as; found both"


@pytest.mark.parametrize("values", [None, [], "words"])
def test_a_file_that_is_no_mapping_is_refused(values):
    assert sentence_about(values).startswith("some.yaml: the file: expected a section with keys; found ")


@pytest.mark.parametrize("text", [b"a: [1\nb: 2", b"a: {", b"\xff\xfe\x00", b"a\tb: c: d"])
def test_what_is_no_yaml_is_refused_in_one_line_with_the_file(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}: expected YAML; found: ") and "\n" not in str(caught.value)


def test_a_missing_file_is_answered_with_the_scales_beside_it():
    with pytest.raises(UserError) as caught:
        config.load(ROOT / "dem.yaml")
    names = ", ".join(str(ROOT / name) for name in SCALES)
    assert str(caught.value) == f"{ROOT / 'dem.yaml'}: expected one of {names}; found no such file"


def test_a_recipe_with_a_wrong_key_or_kind_is_refused_without_the_words_of_the_library(tmp_path):
    recipes = yaml.safe_load((ROOT / "zoo.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "zoo.yaml"
    for change, sentence in (
        ({"stps": 3}, "digits.stps: expected one of batch, bf16, data_licence, "),
        (
            {"kind": "diffusoin"},
            "digits.kind: expected one of diffusion, classifier, autoencoder, latent, one-step; found 'diffusoin'",
        ),
        ({"steps": 0}, "digits.steps: expected a number greater than or equal to 1; found 0"),
    ):
        path.write_text(yaml.safe_dump({"digits": recipes["digits"] | change}), encoding="utf-8")
        with pytest.raises(UserError) as caught:
            config.recipes(path)
        assert str(caught.value).startswith(f"{path}: {sentence}")


def test_one_value_and_a_list_of_one_are_the_same_steps():
    one, listed = (config.validate(changed("papers/deq-ddim/table-1/scores/digits/T", T), "") for T in (25, [25]))
    assert one == listed and one.papers.deq_ddim.table_1.scores["digits"].T == [25]


def test_a_config_survives_the_way_through_json():
    found = config.load(ROOT / "demo.yaml")
    assert config.validate(json.loads(found.model_dump_json(by_alias=True)), "") == found


def test_the_data_sources_of_the_config_are_those_that_exist():
    assert set(get_args(config.Source)) == DATASETS.keys()


def test_the_committed_schema_is_the_one_that_the_command_writes():
    committed = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
    assert committed == config.Config.model_json_schema(by_alias=True), "run: deqbench config schema"


def test_a_section_cannot_be_changed_after_it_was_checked():
    found = config.load(ROOT / "smoke.yaml")
    with pytest.raises(ValueError, match="frozen"):
        found.seed = 3


def test_the_config_of_a_run_written_as_json_is_read_back_whole(tmp_path):
    whole = config.load(ROOT / "demo.yaml")
    path = tmp_path / "config.json"
    path.write_text(whole.model_dump_json(by_alias=True), encoding="utf-8")
    assert "1e-9" in path.read_text(encoding="utf-8")  # which YAML takes for a word
    assert config.load(path) == whole
