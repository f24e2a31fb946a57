"""`deqbench where` leads from an exhibit or study to things that exist."""

import re
from pathlib import Path

import pytest
import yaml

from deqbench import papers, scale
from deqbench.experiments import stage
from deqbench.report.trail import trails
from tests.command_line import run

ROOT = Path(__file__).parents[2]
DEMO = scale.load(ROOT / "config/demo.yaml")
EXHIBITS = {f"{p}/{known.id}": known for p in papers.PAPERS for known in (*papers.exhibits(p), *papers.studies(p))}
FIND = trails(DEMO, ROOT)
MEASURED = sorted(name for name, exhibit in EXHIBITS.items() if (behind := FIND(exhibit)) and behind.rules)
UNMEASURED = sorted(EXHIBITS.keys() - set(MEASURED))
RULES = {step.rule for step in DEMO.steps}


def where(name, monkeypatch, *options, folder=ROOT):
    """The lines of `deqbench where`, by their first word."""
    monkeypatch.chdir(folder)
    ran = run("where", name, *options)
    assert ran.code == 0, ran.err
    title, *lines = ran.out.splitlines()
    assert title.startswith(f"{name}: {EXHIBITS[name].number}, {EXHIBITS[name].title}")
    told: dict[str, list[str]] = {}
    for line in lines:
        kind, _, rest = line.strip().partition(" ")
        told.setdefault(kind, []).append(rest.strip())
    return told


def test_some_exhibits_and_studies_are_measured_and_some_are_not():
    assert {"deq-ddim/table-1", "deq-ddim/figure-1", "deq-ddim/comparison", "decoder-inversion/ladder"} <= set(MEASURED)
    assert any(name.startswith("jiio/") for name in UNMEASURED)


@pytest.mark.parametrize("name", MEASURED)
def test_the_config_key_the_rules_the_stages_and_the_sources_are_there(name, monkeypatch):
    told = where(name, monkeypatch)
    ((file, key),) = (line.split(": ") for line in told["config"])
    node = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    for part in key.split("."):
        assert part in node, f"{key}: no {part}"
        node = node[part]
    rules = [line.split(": ")[1] for line in told["rule"]]
    assert any(rule in RULES for rule in rules)
    for command in told["command"]:
        assert command.startswith("deqbench report ") or stage.named(command.removeprefix("deqbench run "))
    assert all((ROOT / path).is_file() for path in told["source"])
    (printed,) = told["printed"]
    assert printed == "no values" if EXHIBITS[name].printed is None else (ROOT / printed).is_file()


@pytest.mark.parametrize("name", MEASURED)
def test_records_are_those_that_a_run_left(name, tmp_path):
    steps = {step.rule: step for step in DEMO.steps}
    assert trails(DEMO, tmp_path)(EXHIBITS[name]).records == ()
    made = [path for rule in FIND(EXHIBITS[name]).rules if rule in steps for path in steps[rule].made]
    made = [path.rstrip("/") for path in made]  # a folder's ends with a slash
    for path in made:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    kept = trails(DEMO, tmp_path)(EXHIBITS[name]).records
    assert kept and set(kept) <= set(made)


@pytest.mark.parametrize("name", UNMEASURED)
def test_an_exhibit_that_the_scale_does_not_measure_says_so(name, monkeypatch):
    assert where(name, monkeypatch).keys() == {"not", "printed"}


def test_it_answers_from_another_folder_and_with_options_on_either_side(tmp_path, monkeypatch):
    here = where("deq-ddim/costs", monkeypatch, "--config", "config/medium.yaml")
    there = where("deq-ddim/costs", monkeypatch, "--config", "config/medium.yaml", folder=tmp_path)
    assert here["config"] == there["config"] == ["config/medium.yaml: papers.deq-ddim.costs"]
    first = run("where", "--config", "config/medium.yaml", "deq-ddim/costs")
    assert first.code == 0 and "papers.deq-ddim.costs" in first.out


def test_a_part_of_an_experiment_is_led_to_the_job_that_makes_it(monkeypatch):
    told = where("decoder-inversion/theorems", monkeypatch)
    assert told["config"] == ["config/demo.yaml: papers.decoder-inversion.theorems"]
    assert "deqbench run decoder_inversion.iterates.cocoercivity" in told["command"]


def test_an_unknown_exhibit_is_answered_with_the_nearest():
    told = run("where", "deq-ddim/tabel-1")
    assert told.code == 1 and re.search(r"did you mean 'deq-ddim/table-1'", told.err)
