"""Whatever is wrong with what the user gave: exit code 1 and one sentence on stderr, which says what was expected."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from deqbench import zoo
from deqbench.data import datasets
from deqbench.experiments.deq_ddim.inversion.job import time
from deqbench.experiments.deq_ddim.scores.job import draw
from tests.command_line import run
from tests.experiments.deq_ddim.smoke import scope

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


@pytest.fixture
def weights(tmp_path):
    return shutil.copytree(zoo.path("digits"), tmp_path / "digits")


def drawn(settings: str, weights, tmp_path):
    out = tmp_path / "made" / "images.safetensors"
    files = ("--input", f"weights={weights}", "--output", f"images={out}")
    ran = run("run", "deq_ddim.scores.draw", "--settings", settings, *files)
    assert ran.code != 0 and (not out.parent.exists() or list(out.parent.iterdir()) == [])
    return ran


def job(shard: int = 0, T=(10,), options=None, **changes) -> str:
    """The settings of a job that would draw a few images, with the method's fields changed, options over its own."""
    found = draw(scope("table-1"), "digits", "deq-ddim-paper", str(shard)).model_dump()
    own = {} if "sampler" in changes else found["method"]["options"]
    found["method"] |= {"options": {**own, **(options or {})}} | changes
    return json.dumps(found | {"T": list(T)})


@pytest.mark.parametrize("words", [["rnu"], ["run"], ["report", "tabels"], ["--versoin"]])
def test_words_that_are_no_command_are_refused_as_misuse(words):
    ran = run(*words)
    assert ran.code == 2 and "Traceback" not in ran.err and ran.err


def test_without_words_the_commands_are_listed():
    ran = run()
    assert all(name in ran.out + ran.err for name in ("run", "report", "where"))


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("deq_ddim.scores.drwa", "stage of deq_ddim.scores: expected one of draw, score, time; found 'drwa'"),
        ("deq_ddim.scoers.draw", "stage: expected <paper>.<kind>.<stage>; found 'deq_ddim.scoers.draw'"),
        ("draw", "stage: expected <paper>.<kind>.<stage>; found 'draw'"),
    ],
)
def test_an_unknown_stage_is_refused(stage, sentence):
    assert run("run", stage, "--settings", "{}").sentence.startswith(sentence)


@pytest.mark.parametrize("text", ["", "{", "{'seed': 1}", "seed=3"])
def test_settings_that_are_no_json_are_refused(tmp_path, weights, text):
    assert drawn(text, weights, tmp_path).sentence.startswith("--settings: expected JSON; found ")


def test_settings_with_an_unknown_or_missing_key_are_refused_by_name(tmp_path, weights):
    settings = json.loads(job())
    unknown = drawn(json.dumps(settings | {"shrad": 1}), weights, tmp_path).sentence
    assert unknown.startswith("--settings: shrad: expected one of ") and unknown.endswith("(did you mean 'shard'?)")
    del settings["seed"]
    assert drawn(json.dumps(settings), weights, tmp_path).sentence == "--settings: seed: expected a value; found none"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "jiont"}, "sampler: expected one of "),
        ({"sampler": "jiont"}, "; found 'jiont' (did you mean 'joint'?)"),
        (
            {"sampler": "sequential", "options": {"windw": 3}},
            "sequential: windw: expected one of keep_states; found an unknown option",
        ),
        ({"sampler": "windowed", "options": {"splt": "eps"}}, "(did you mean 'split'?)"),
        ({"options": {"solver": "andersen"}}, "(did you mean 'anderson'?)"),
        ({"options": {"toll": 1e-3}}, "sampler joint: "),
        ({"options": {"beta": -1.0}}, "sampler joint: beta: expected"),
        ({"options": {"tol": -1.0}}, "sampler joint: tol: expected a number in [0, 1e+18]; found -1"),
        ({"options": {"max_iter": 0}}, "sampler joint: max_iter: expected an integer in [1, 1000000]; found 0"),
        ({"options": {"start": "zeroes"}}, 'joint: start: expected one of x_T, zeros, gaussian; found "zeroes"'),
        ({"eta": 2}, "--settings: method.eta: expected a number less than or equal to 1; found 2"),
    ],
)
def test_a_method_s_unknown_names_and_values_out_of_range_are_refused(tmp_path, weights, changes, words):
    assert words in drawn(job(**changes), weights, tmp_path).sentence


def test_an_unknown_option_of_a_solver_is_answered_with_the_known_ones(tmp_path, weights):
    sentence = drawn(job(options={"rigde": 1e-3}), weights, tmp_path).sentence
    assert "rigde" in sentence and "ridge" in sentence.replace("rigde", "")


@pytest.mark.parametrize("T", [1001, 5000])
def test_a_chain_longer_than_the_training_chain_is_refused(tmp_path, weights, T):
    sentence = drawn(job(T=[T]), weights, tmp_path).sentence
    assert sentence == f"T: expected 1 to 1000 (the steps of the training chain); found {T}"


def test_a_chain_that_the_released_grid_cannot_serve_is_answered_with_the_nearest_that_it_can(tmp_path, weights):
    sentence = drawn(job(T=[30]), weights, tmp_path).sentence
    assert sentence == "T: grid uniform-released expected a divisor of 1000; found 30 (nearest: 25)"


@pytest.mark.parametrize("shard", [-1, 1, 7])
def test_a_shard_out_of_range_is_refused(tmp_path, weights, shard):
    assert drawn(job(shard=shard), weights, tmp_path).sentence == f"shard: expected 0 to 0; found {shard}"


def test_missing_weights_are_refused_by_name(tmp_path, weights):
    (weights / WEIGHTS).unlink()
    expected = f"{weights}: expected config.json and {WEIGHTS}; found no {WEIGHTS}"
    assert drawn(job(), weights, tmp_path).sentence == expected
    assert drawn(job(), tmp_path / "none", tmp_path).sentence.startswith(f"{tmp_path / 'none'}: expected config.json")


@pytest.mark.parametrize("length", [0, 5, 1000])
def test_weights_cut_short_are_refused_by_name(tmp_path, weights, length):
    (weights / WEIGHTS).write_bytes((weights / WEIGHTS).read_bytes()[:length])
    sentence = drawn(job(), weights, tmp_path).sentence
    assert sentence.startswith(f"{weights}/{WEIGHTS}: expected a whole safetensors file; found: ")


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, weights):
    spoilt = load_file(weights / WEIGHTS)
    spoilt["conv_in.bias"][0] = torch.nan
    save_file(spoilt, weights / WEIGHTS)
    sentence = drawn(job(), weights, tmp_path).sentence
    assert sentence == f"{weights}/{WEIGHTS}: expected finite weights; found NaN or infinity"


def test_an_unknown_exhibit_is_answered_with_the_nearest_one():
    assert run("where", "deq-ddim/tabel-1").sentence.endswith("(did you mean 'deq-ddim/table-1'?)")


def test_a_known_exhibit_is_found():
    ran = run("where", "deq-ddim/table-1")
    assert ran.code == 0 and "papers.deq-ddim.table-1" in ran.out


def test_an_unknown_extractor_is_answered_with_the_nearest_model_of_the_zoo(tmp_path):
    datasets.save(datasets.digits(), tmp_path / "digits.safetensors")
    out = tmp_path / "features.safetensors"
    told = json.dumps({"dataset": "digits", "extractor": "digits-feature"})
    files = ("--input", f"dataset={tmp_path / 'digits.safetensors'}", "--output", f"features={out}")
    ran = run("run", "inputs.features", "--settings", told, *files)
    assert ran.sentence.startswith("zoo model: expected one of ") and ran.sentence.endswith("'digits-features'?)")
    assert not out.exists()


def test_an_unknown_data_set_is_answered_with_the_nearest_one(tmp_path):
    settings = json.dumps({"dataset": "digits", "source": "digts", "options": {}})
    ran = run("run", "inputs.dataset", "--settings", settings, "--output", f"images={tmp_path / 'x.safetensors'}")
    assert ran.sentence.endswith("found 'digts' (did you mean 'digits'?)") and list(tmp_path.iterdir()) == []


def test_a_missing_config_file_is_answered_with_those_that_exist():
    sentence = run("config", "check", "config/smok.yaml").sentence
    assert sentence.startswith("config/smok.yaml: expected one of ") and "config/smoke.yaml" in sentence


def test_records_that_cannot_be_read_are_refused_by_name(tmp_path):
    path = tmp_path / "deq-ddim/table-1/digits/scores.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe")
    ran = run("report", "tables", "deq-ddim", path, "--config", "config/smoke.yaml", "--out", tmp_path / "tables")
    assert ran.sentence.startswith(f"{path}: expected a readable table; found: ")


def test_records_that_belong_to_no_exhibit_are_refused_by_name(tmp_path):
    path = tmp_path / "scores.csv"
    path.touch()
    for words in (["tables", "deq-ddim", path, "--config", "config/smoke.yaml"], ["figures", "deq-ddim", path]):
        sentence = run("report", *words, "--out", tmp_path / "out").sentence
        assert sentence.startswith(f"{path}: expected a record that an exhibit of deq-ddim is made from")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["weights", "dataset"])
def test_times_of_a_data_set_that_was_not_given_are_refused_by_its_name(tmp_path, option):
    given = {"weights": tmp_path / "digits", "dataset": tmp_path / "digits.safetensors"}
    given[option] = given[option].with_name(given[option].name.replace("digits", "tissue"))
    datasets.save(datasets.digits(), tmp_path / "digits.safetensors")
    shutil.copytree(zoo.path("digits"), tmp_path / "digits")
    words = [word for name, path in given.items() for word in ("--input", f"{name}={path}")]
    outputs = [word for name in ("records", "traces") for word in ("--output", f"{name}={tmp_path / 'made' / name}")]
    told = time(scope("table-3")).model_dump_json()
    ran = run("run", "deq_ddim.inversion.time", "--settings", told, *words, *outputs)
    assert ran.sentence == f"--input: expected {option}=path of digits; found tissue"
    assert not (tmp_path / "made").exists()
