"""A paper's named methods lie under every config: it replaces one as a whole, or adds others behind them."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.papers import reading
from deqbench.report import tables
from tests.scales import SMOKE

SCALES = [path for path in sorted(SMOKE.parent.glob("*.yaml")) if path.name != "zoo.yaml"]
PAPER = "deq-ddim"
KNOWN = papers.catalogue(PAPER)
FILE = reading.methods_file(PAPER)


def section(**parts: Any) -> Any:
    """The paper's section in a config that says this of it, and nothing else."""
    return scale.validate({"scale": "x", "seed": 0, "papers": {PAPER: parts}}, "some.yaml").papers.of(PAPER)


def slices(config: scale.Config) -> dict[str, str]:
    """What each job is told, by rule and place."""
    return {
        f"{step.rule} {place}": step.stage.job(step.scope, **place).model_dump_json()
        for step in config.steps
        for place in step.places
    }


@pytest.fixture
def catalogue(monkeypatch):
    """Puts another catalogue in the place of the paper's."""
    own = reading.catalogue

    def put(**parts: Any) -> None:
        made = reading.Catalogue.model_validate(parts)
        monkeypatch.setattr(reading, "catalogue", lambda paper: made if paper == PAPER else own(paper))
        scale._check_catalogue.cache_clear()

    yield put
    scale._check_catalogue.cache_clear()


@pytest.mark.parametrize("part", ["methods", "inverters"])
def test_a_config_that_names_no_methods_knows_the_catalogue_in_its_order(part):
    found = getattr(section(), part)
    assert list(found) == list(KNOWN[part])
    given = {name: method.model_dump(include=set(KNOWN[part][name])) for name, method in found.items()}
    assert given == KNOWN[part]


def test_an_entry_of_the_config_replaces_the_catalogues_as_a_whole_and_in_its_place():
    found = section(methods={"deq-ddim-zeros": {"sampler": "joint"}}).methods
    assert KNOWN["methods"]["deq-ddim-zeros"].keys() == {"sampler", "preset", "options"}
    assert (found["deq-ddim-zeros"].preset, found["deq-ddim-zeros"].options) == (None, {})
    assert list(found) == list(KNOWN["methods"])
    others = {name: method for name, method in section().methods.items() if name != "deq-ddim-zeros"}
    assert {name: found[name] for name in others} == others


def test_names_of_the_config_alone_come_last_in_its_order():
    found = section(methods={"b": {"sampler": "newton"}, "ddim": {"sampler": "newton"}, "a": {"sampler": "newton"}})
    assert list(found.methods) == [*KNOWN["methods"], "b", "a"]
    assert list(found.inverters) == list(KNOWN["inverters"])


def test_the_rows_of_a_table_stand_in_the_catalogues_order():
    found = section(methods={"mine": {"sampler": "newton"}, "ddim": {"sampler": "newton"}})
    rows = ["real", "sweeps", "mine", "algorithm-1", "secant", "ddim", "ddpm-large"]
    known = ["ddpm-large", "ddim", "secant", "mine", "algorithm-1", "sweeps"]
    assert tables._in_order([*rows, "floor"], found, {}) == [*known, "floor", "real"]
    labels = {"real": "test images", "floor": "two halves of them"}
    assert tables._in_order([*rows, "floor"], found, labels) == [*known, "real", "floor"]


def test_a_name_near_one_of_the_catalogue_is_answered_with_that():
    with pytest.raises(UserError) as caught:
        section(**{"figure-1": {"methods": ["secant-tuend"], "rounds": 2, "datasets": {}}})
    assert str(caught.value).startswith("some.yaml: papers.deq-ddim.figure-1.methods: expected one of ")
    assert str(caught.value).endswith("found 'secant-tuend' (did you mean 'secant-tuned'?)")


@pytest.mark.parametrize("methods", [None, [], "words"])
def test_what_is_no_section_of_methods_is_refused_though_there_is_a_catalogue(methods):
    words = f"some.yaml: papers.deq-ddim.methods: expected a section with keys; found {json.dumps(methods)}"
    with pytest.raises(UserError) as caught:
        section(methods=methods)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"methods": {"a": {"sampler": "joint", "optoins": {}}}}, "methods.a.optoins: expected one of eta, options, "),
        ({"methods": {"a": {"sampler": "jiont"}}}, "methods.a.sampler: expected one of "),
        ({"methods": {"a": {"sampler": "joint", "preset": "papre"}}}, "methods.a.preset: expected one of "),
        ({"methods": {"a": {"sampler": "joint", "options": {"m": 0}}}}, "methods.a.options.m: expected an integer "),
        ({"methods": {"A b": {"sampler": "joint"}}}, "methods.A b: expected small letters, digits and hyphens"),
        ({"inverters": {"a": {"inverter": "descent", "options": {"lr": 1.0}}}}, "inverters.a.options.lr: expected it"),
        ({"methdos": {}}, ": expected one of baseline, inverters, methods, presets; found 'methdos' (did you mean "),
        ({"table-1": {}}, ": expected one of baseline, inverters, methods, presets; found 'table-1'"),
    ],
)
def test_a_fault_in_the_catalogue_names_its_file(catalogue, parts, words):
    catalogue(**parts, presets={"paper": {"source": "text", "options": {}}})
    with pytest.raises(UserError) as caught:
        section()
    assert str(caught.value).startswith(f"{FILE}{words}" if words[0] == ":" else f"{FILE}: {words}")


def test_an_entry_that_no_experiment_names_makes_no_job_and_reaches_none(catalogue):
    before = slices(scale.load(SMOKE))
    more = {part: {**entries, "unused": next(iter(entries.values()))} for part, entries in KNOWN.items()}
    catalogue(**more, presets=reading.catalogue(PAPER).presets)
    config = scale.load(SMOKE)
    assert "unused" in config.papers.of(PAPER).methods and slices(config) == before


def test_the_config_of_a_run_needs_no_catalogue(catalogue):
    found = scale.load(SMOKE)
    written = json.loads(found.model_dump_json(by_alias=True))
    catalogue(presets=reading.catalogue(PAPER).presets)
    assert scale.validate(written, "") == found


@pytest.mark.parametrize("path", SCALES, ids=lambda path: path.stem)
def test_no_scale_repeats_what_the_catalogue_says(path):
    for paper, own in yaml.safe_load(path.read_text(encoding="utf-8"))["papers"].items():
        for part, known in papers.catalogue(paper).items():
            assert not [name for name, entry in own.get(part, {}).items() if entry == known.get(name)], (paper, part)


CODE = """
import sys, yaml
from deqbench import scale
config = scale.validate({"scale": "x", "seed": 0, "papers": {"toy": yaml.safe_load(sys.argv[1])}}, "some.yaml")
print(list(config.papers.of("toy").methods), [step.rule for step in config.steps])
"""


def test_a_paper_of_another_ones_kinds_has_its_own_catalogue(tmp_path):
    about = {"id": "toy", "title": "A toy", "short": "Toy", "authors": ["Nobody"], "abstract": "Nothing."}
    (tmp_path / "toy").mkdir()
    for name, values in {
        "paper": {**about, "experiments": {"curves": "deq-ddim/traces"}},
        "methods": {
            "presets": {"ours": {"source": "text", "options": {"m": 2}}},
            "methods": {"plain": {"sampler": "sequential"}, "deep": {"sampler": "joint", "preset": "ours"}},
        },
    }.items():
        (tmp_path / "toy" / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    told = {"baseline": "plain", "curves": {"methods": ["deep"], "rounds": 3, "datasets": {}}}
    words = [sys.executable, "-c", CODE, json.dumps(told)]
    environment = {**os.environ, reading.FURTHER: str(tmp_path)}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert ran.stdout.startswith("['plain', 'deep']"), ran.stderr
