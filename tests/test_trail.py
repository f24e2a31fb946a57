"""`deqbench where` leads from an exhibit to things that exist."""

import importlib
import re
from pathlib import Path

import pytest
import yaml
from deqbench.trail import trail
from typer.testing import CliRunner

from deqbench import cli, config, papers
from deqbench.commands.where import app

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "config/demo.yaml"
EXHIBITS = {f"{paper}/{found.id}": found for paper in papers.PAPERS for found in papers.exhibits(paper)}
MEASURED = sorted(name for name, found in EXHIBITS.items() if found.spec)
UNMEASURED = sorted(EXHIBITS.keys() - set(MEASURED))


def where(name, monkeypatch):
    """The lines of `deqbench where`, by their first word."""
    monkeypatch.chdir(ROOT)
    ran = CliRunner().invoke(app, [name])
    assert ran.exit_code == 0, ran.output
    title, *lines = ran.stdout.splitlines()
    assert title.startswith(f"{name}: {EXHIBITS[name].number}, {EXHIBITS[name].title}")
    found = {}
    for line in lines:
        kind, _, rest = line.strip().partition(" ")
        found.setdefault(kind, []).append(rest.strip())
    return found, ran.stdout


def test_some_exhibits_are_measured_and_some_are_not_yet():
    assert {"deq-ddim/table-1", "deq-ddim/figure-1", "deq-ddim/figure-2"} <= set(MEASURED)
    assert UNMEASURED


@pytest.mark.parametrize("name", MEASURED)
def test_the_config_key_is_in_the_demo(name, monkeypatch):
    ((file, key),) = (line.split(": ") for line in where(name, monkeypatch)[0]["config"])
    assert file == "config/demo.yaml"
    node = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    for part in key.split("."):
        assert part in node, f"{key}: no {part}"
        node = node[part]


@pytest.mark.parametrize("name", MEASURED)
def test_every_rule_is_in_its_file_and_every_command_in_the_command_line(name, monkeypatch):
    found = where(name, monkeypatch)[0]
    for line in found["rule"]:
        file, rule = line.split(": ")
        form = rf"^ *(rule {rule}:|use rule \w+ as {rule} with:)$"
        assert re.search(form, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found["rule"]) == len(EXHIBITS[name].spec["rules"])
    for line in found["command"]:
        program, module, command = line.split()
        assert program == "deqbench"
        assert module in cli.COMMANDS
        registered = importlib.import_module(f"deqbench.commands.{module}").app.registered_commands
        assert command in {entry.name or entry.callback.__name__ for entry in registered}


@pytest.mark.parametrize("name", MEASURED)
def test_sources_and_printed_values_exist(name, monkeypatch):
    found = where(name, monkeypatch)[0]
    assert all((ROOT / path).exists() for path in found["source"])
    (printed,) = found["printed"]
    assert printed == "no values" if EXHIBITS[name].printed is None else (ROOT / printed).is_file()


@pytest.mark.parametrize("name", MEASURED)
def test_records_are_those_that_a_run_left(name, tmp_path):
    scale = config.load(DEMO)
    (tmp_path / "rules").symlink_to(ROOT / "rules")
    assert trail(EXHIBITS[name], scale, root=tmp_path).records == ()
    made = [f"results/demo/{pattern.replace('*', 'x')}" for pattern in EXHIBITS[name].records]
    for path in made:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(trail(EXHIBITS[name], scale, root=tmp_path).records) == sorted(made)


@pytest.mark.parametrize("name", UNMEASURED)
def test_an_exhibit_that_nothing_measures_says_so(name, monkeypatch):
    found, text = where(name, monkeypatch)
    assert "  not measured yet\n" in text
    assert found.keys() == {"not", "printed"}
    (printed,) = found["printed"]
    assert printed == "no values" if EXHIBITS[name].printed is None else (ROOT / printed).is_file()


def test_a_rule_that_no_file_has_is_an_error(tmp_path):
    (tmp_path / "rules").mkdir()
    with pytest.raises(LookupError, match="rule sampling_images: expected in rules"):
        trail(EXHIBITS["deq-ddim/table-1"], config.load(DEMO), root=tmp_path)
