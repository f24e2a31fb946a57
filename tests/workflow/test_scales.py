"""One workflow serves every scale, and a wrong config is answered by one sentence before anything runs."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deqbench import scale
from deqbench.experiments.stage import Step
from tests.workflow.workspace import BIN, REPOSITORY, Workspace, planned, sentence

DEMO = {"demo", "digits", "tissue"}
STOCHASTIC = {"table-2": "cifar10", "table-4": "celeba"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return Workspace.make(tmp_path_factory.mktemp("scales"))


def mentioned(ran: subprocess.CompletedProcess[str], words: set[str]) -> set[str]:
    return {word for word in words if word in ran.stdout}


def datasets_read(steps: list[Step]) -> int:
    """How many files of data sets other jobs read; of some, experiments take the source and split it themselves."""
    places = [(step, place) for step in steps for place in step.places]
    read = {path for step, place in places for paths in step.inputs(place).values() for path in paths}
    return sum(path in read for step in steps if step.rule == "dataset" for path in step.made)


def test_without_a_config_file_the_demo_is_planned(workspace):
    ran = workspace.snakemake("--dry-run")
    assert mentioned(ran, DEMO) == DEMO
    steps = scale.load(REPOSITORY / "config/demo.yaml").steps
    expected = {step.rule: len(step.places) for step in steps} | {"dataset": datasets_read(steps)}
    jobs = planned(ran)
    assert jobs["reproduce"] == jobs["site"] == 1
    assert {rule: jobs.get(rule) for rule in expected} == expected


def test_of_the_demo_nothing_survives_in_the_papers_scale(workspace):
    ran = workspace.snakemake("--dry-run", "--configfile", "config/paper.yaml")
    config, jobs = scale.load(REPOSITORY / "config/paper.yaml"), planned(ran)
    assert mentioned(ran, DEMO) == set()
    draws = {step.rule: len(step.places) for step in config.steps if step.stage.name == "draw"}
    assert {rule: jobs[rule] for rule in draws} == draws
    tables = {name: config.papers.of("deq-ddim").experiment(name) for name in STOCHASTIC}
    assert all(table.scores[STOCHASTIC[name]].T == [20, 50] for name, table in tables.items())
    assert jobs["checkpoint"] == 4


def test_of_the_demo_nothing_survives_in_the_smoke_scale(workspace):
    ran = workspace.snakemake("--dry-run", "--configfile", "config/smoke.yaml")
    assert mentioned(ran, {"demo", "tissue"}) == set()
    assert planned(ran)["dataset"] == datasets_read(scale.load(REPOSITORY / "config/smoke.yaml").steps)


def test_a_scale_is_asked_for_by_its_name_or_by_its_file(workspace):
    by_name = workspace.snakemake("--dry-run", "--config", "scale=smoke")
    by_file = workspace.snakemake("--dry-run", "--configfile", "config/smoke.yaml")
    assert mentioned(by_name, {"demo", "tissue"}) == set()
    assert planned(by_name) == planned(by_file)


def test_an_unknown_scale_is_answered_with_the_known_ones(workspace):
    found = sentence(workspace.snakemake("--dry-run", "--config", "scale=smoek"))
    assert found == "--config: scale: expected one of demo, medium, paper, smoke; found 'smoek' (did you mean 'smoke'?)"


def test_a_value_on_the_command_line_wins_over_the_demo(workspace):
    target = "results/demo/deq-ddim/figure-2/digits.safetensors"
    seeds = []
    for override in ([], ["--config", "seed=3"]):
        ran = workspace.snakemake("--dry-run", "--printshellcmds", target, *override)
        (shown,) = {line for line in ran.stdout.splitlines() if "run deq_ddim.latents.solve" in line}
        seeds.append('"seed":3,' in shown)
    assert seeds == [False, True]


def test_an_unknown_key_on_the_command_line_is_named_with_the_known_ones(workspace):
    found = sentence(workspace.snakemake("--dry-run", "--config", "sede=3"))
    assert found.startswith("config/demo.yaml: sede: ")
    assert "datasets, limits, networks, papers, scale, seed" in found


def test_an_unknown_method_is_answered_with_the_nearest_and_its_file_by_its_name_here(workspace):
    values = yaml.safe_load((workspace.root / "config/smoke.yaml").read_text(encoding="utf-8"))
    values["papers"]["deq-ddim"]["figure-2"]["method"] = "deq-ddim-papre"
    (workspace.root / "config/edited.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    found = sentence(workspace.snakemake("--dry-run", "--configfile", "config/edited.yaml"))
    assert found.startswith("config/edited.yaml: papers.deq-ddim.figure-2.method: expected one of ")
    assert found.endswith("found 'deq-ddim-papre' (did you mean 'deq-ddim-paper'?)")


def test_an_unknown_scale_is_answered_by_make_with_the_known_ones(workspace, tmp_path):
    # A stand-in for the environment, so that make neither builds nor runs anything.
    (tmp_path / "bin").mkdir()
    for name in ("deqbench", "snakemake"):
        (tmp_path / "bin" / name).symlink_to(BIN / name)
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, workspace.root / name)
    (tmp_path / ".installed").touch()
    words = ["make", "reproduce", "SCALE=smoek", f"VENV={tmp_path}"]
    ran = subprocess.run(words, cwd=workspace.root, text=True, capture_output=True)
    assert ran.returncode != 0
    first = ran.stderr.splitlines()[0]
    assert first.startswith("deqbench: SCALE: expected one of ")
    assert first.endswith("; found 'smoek'")
    assert {"demo", "paper", "smoke"} <= set(first.replace(";", "").split())
    assert "zoo" not in first
    assert "Traceback" not in ran.stderr
    assert not Path(workspace.root / "results").exists()
