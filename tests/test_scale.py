"""A config is right, or one sentence says which key of which file is wrong, what was expected and what was found."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from deqbench import scale
from deqbench.data.datasets import DATASETS
from deqbench.data.sources import Named
from deqbench.errors import UserError
from tests.scales import smoke

ROOT = Path(__file__).parents[1] / "config"
SCALES = sorted(path.name for path in ROOT.glob("*.yaml") if path.name != "zoo.yaml")
PAPER = "papers.deq-ddim"


def changed(place: str, value: Any) -> dict[str, Any]:
    """The smoke scale with one value set, or taken away by `...`. place: keys with slashes between them."""
    values = smoke()
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
        scale.validate(values, "some.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", SCALES)
def test_every_shipped_scale_is_valid_and_named_after_its_file(name):
    assert scale.load(ROOT / name).scale == Path(name).stem


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
            "expected one of decoder-inversion, deq-ddim, deq-score-matching; found an unknown key"
            " (did you mean 'deq-ddim'?)",
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
        ("papers/deq-ddim/baseline", "dim", f"{PAPER}.baseline", "ddim"),
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


def test_reading_a_config_loads_neither_torch_nor_data_frames():
    code = "import sys; from deqbench import scale; scale.load(sys.argv[1]); print(*sys.modules)"
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
        ("papers/deq-ddim/table-1/methods", ..., ": expected a value; found none"),
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


@pytest.mark.parametrize("paper", ["deq-ddim", "decoder-inversion"])
def test_a_scale_may_leave_a_paper_out(paper):
    config = scale.validate(changed(f"papers/{paper}", ...), "")
    assert config.papers.of(paper) is None
    assert paper not in config.measured and paper not in {step.scope.paper for step in config.steps}


@pytest.mark.parametrize("name", ["table-1", "table-2", "figure-1", "comparison"])
def test_a_scale_may_leave_an_experiment_out(name):
    whole, config = scale.load(ROOT / "smoke.yaml"), scale.validate(changed(f"papers/deq-ddim/{name}", ...), "")
    assert config.papers.of("deq-ddim").experiment(name) is None
    rules = {step.rule for step in whole.steps} - {step.rule for step in config.steps}
    assert rules and all(rule.startswith(f"deq_ddim_{name.replace('-', '_')}_") for rule in rules)


def test_a_scale_without_papers_measures_nothing():
    assert scale.validate({"scale": "none", "seed": 0}, "").steps == []


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
        scale.load(path)
    assert str(caught.value).startswith(f"{path}: expected YAML; found: ") and "\n" not in str(caught.value)


def test_a_missing_file_is_answered_with_the_scales_beside_it():
    with pytest.raises(UserError) as caught:
        scale.load(ROOT / "dem.yaml")
    names = ", ".join(str(ROOT / name) for name in SCALES)
    assert str(caught.value) == f"{ROOT / 'dem.yaml'}: expected one of {names}; found no such file"


def test_one_value_and_a_list_of_one_are_the_same_steps():
    one, listed = (scale.validate(changed("papers/deq-ddim/table-1/scores/digits/T", T), "") for T in (25, [25]))
    assert one == listed and one.papers.deq_ddim.table_1.scores["digits"].T == [25]


def test_a_config_survives_the_way_through_json():
    found = scale.load(ROOT / "demo.yaml")
    assert scale.validate(json.loads(found.model_dump_json(by_alias=True)), "") == found


def test_the_data_sources_of_the_config_are_those_that_exist():
    assert set(get_args(Named)) == DATASETS.keys()


def test_the_committed_schema_is_the_one_that_the_command_writes():
    committed = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
    assert committed == scale.Config.model_json_schema(by_alias=True), "run: deqbench config schema"


def test_a_section_cannot_be_changed_after_it_was_checked():
    found = scale.load(ROOT / "smoke.yaml")
    with pytest.raises(ValueError, match="frozen"):
        found.seed = 3


def test_the_config_of_a_run_written_as_json_is_read_back_whole(tmp_path):
    whole = scale.load(ROOT / "demo.yaml")
    path = tmp_path / "config.json"
    path.write_text(whole.model_dump_json(by_alias=True), encoding="utf-8")
    assert "1e-9" in path.read_text(encoding="utf-8")  # which YAML takes for a word
    assert scale.load(path) == whole
