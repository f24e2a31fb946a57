"""The smoke scale, from nothing to its report; again; changed; killed; with a job that fails."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pandas as pd
import psutil
import pytest

from deqbench import papers, provenance, scale
from deqbench.report.trail import trails
from tests.command_line import run
from tests.workflow.workspace import REPOSITORY, Workspace, planned

CONFIG = scale.load(REPOSITORY / "config/smoke.yaml")
# Timing claims all cores; here it shares them with other tests, whose threads it would only wait for.
ALONE = sorted({step.rule for step in CONFIG.steps if step.alone})
SMOKE = ("--configfile", "config/smoke.yaml", "--set-threads", *(f"{rule}=1" for rule in ALONE))
TIMES = ["time_s", "time_ratio"]
TABLES = {
    "deq-ddim": ("table-1", "table-2", "figure-1", "figure-11"),
    "decoder-inversion": ("table-2", "table-s1a", "figure-2", "figure-s3", "ladder", "codec-memory"),
}
DRAWN = {
    "deq-ddim": ("figure-1", "figure-2", "figure-11", "figure-12", "figure-18"),
    "decoder-inversion": ("figure-3", "figure-2", "figure-s1", "figure-s3"),
}
SETTLED = ("decoder-inversion/figure-2", "decoder-inversion/watermark-guidance")  # that hang on no clock
FIRST = re.compile(r"^Finished jobid: \d+ \(Rule: deq_ddim_\w+\)$", re.MULTILINE)
PATIENCE_S = 600


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Workspace:
    """A workspace with the smoke scale's report, made without a break."""
    workspace = Workspace.make(tmp_path_factory.mktemp("made"))
    ran = workspace.snakemake(*SMOKE)
    assert ran.returncode == 0, ran.stdout
    return workspace


def test_a_run_from_nothing_ends_with_pages_tables_figures_and_verdicts(made):
    outputs = made.outputs().keys()
    expected = {"reports/smoke/index.html"}
    expected |= {f"results/smoke/{kind}/digits.safetensors" for kind in ("datasets", "statistics")}
    for paper in TABLES:
        expected |= {f"reports/smoke/{paper}.html", f"results/smoke/claims/{paper}.json"}
        expected |= {f"results/smoke/tables/{paper}/{name}.csv" for name in TABLES[paper]}
        expected |= {f"results/smoke/figures/{paper}/{name}/figure.json" for name in DRAWN[paper]}
    assert expected <= outputs
    for paper in TABLES:
        verdicts = json.loads((made.root / f"results/smoke/claims/{paper}.json").read_text(encoding="utf-8"))
        assert [found["id"] for found in verdicts] == [claim.id for claim in papers.claims(paper)]


@pytest.mark.parametrize("paper", TABLES)
def test_an_exhibit_is_shown_if_this_scale_makes_its_records(made, paper):
    results, shown, find = made.root / "results/smoke", set(), trails(CONFIG, made.root)
    for exhibit in (*papers.exhibits(paper), *papers.studies(paper)):
        behind = find(exhibit)
        drawn = (results / f"figures/{paper}/{exhibit.id}/figure.json").exists()
        there = drawn or (results / f"tables/{paper}/{exhibit.id}.csv").exists()
        assert bool(behind and behind.rules) == bool(behind and behind.records) == there, exhibit.id
        shown |= {exhibit.id} if there else set()
    assert shown >= {*TABLES[paper], *DRAWN[paper]}


def test_every_result_says_what_code_and_which_job_made_it(made):
    for step in CONFIG.steps:
        for path in (path for path in step.made if (made.root / path).exists()):  # some targets nothing asks for
            facts = json.loads(provenance.sidecar(made.root / path.removesuffix("/")).read_text(encoding="utf-8"))
            assert facts["code_digest"] == provenance.code_digest(facts["module"]) == step.code, path
            assert path.removesuffix("/") in facts["outputs"]
            assert facts["command"] == f"deqbench run {step.id}"


def test_a_second_run_does_nothing(made):
    before = made.outputs()
    ran = made.snakemake(*SMOKE)
    assert ran.returncode == 0
    assert "Nothing to be done" in ran.stdout
    assert "Exception" not in ran.stdout, ran.stdout
    assert made.outputs() == before


def test_its_tables_can_be_accepted_and_then_agree_with_the_reference(made, monkeypatch):
    monkeypatch.chdir(made.root)
    accepted = run("regression", "accept", "--scale", "smoke")
    tables = len(list((made.root / "results/smoke/tables").rglob("*.csv")))
    assert (accepted.code, accepted.out.strip()) == (0, f"accepted {tables} tables into results/reference/smoke")
    checked = run("regression", "check", "--scale", "smoke")
    assert checked.code == 0
    assert re.match(r"every cell agrees with results/reference/smoke \(\d+ cells compared; \d+ that ", checked.out)


@pytest.mark.parametrize(
    ("experiment", "change", "stages"),
    [
        ("figure-2", {"rounds": 6}, {"solve": 1}),
        ("figure-1", {"rounds": 9}, {"trace": 1}),
        ("table-1", {"times": {"digits": {"repeats": 3}}}, {"time": 1}),
        ("figure-11", {"eta": [0.5]}, {"trace": 1}),
        ("figure-12", {"eta": [0.5]}, {"sample": 1}),
        ("comparison", {"problems": {"digits": {"images": {10: 3}}}}, {"measure": 1, "time": 1}),
    ],
)
def test_a_change_of_one_experiment_plans_that_experiment_and_the_report(made, experiment, change, stages):
    override = json.dumps({"deq-ddim": {experiment: change}})
    jobs = planned(made.snakemake(*SMOKE, "--dry-run", "--config", f"papers={override}"))
    papers = ("deq_ddim", "decoder_inversion", "deq_score_matching")
    tabled = [f"{paper}_{kind}" for paper in papers for kind in ("tables", "claims")]
    expected = dict.fromkeys(("effective_config", *tabled, "site", "reproduce"), 1)
    expected |= {f"deq_ddim_{experiment}_{stage}".replace("-", "_"): jobs for stage, jobs in stages.items()}
    assert {rule: count for rule, count in jobs.items() if rule != "deq_ddim_figures"} == expected


def test_a_job_that_fails_shows_its_one_sentence(made, tmp_path):
    broken = Workspace(shutil.copytree(made.root, tmp_path / "broken"))
    weights = broken.root / "results/smoke/checkpoints/digits/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    target = "results/smoke/deq-ddim/table-1/digits/ddim/0.safetensors"
    ran = broken.snakemake(*SMOKE, "--force", target)
    assert ran.returncode == 1
    found = [line for line in ran.stdout.splitlines() if line.strip().startswith("deqbench: ")]
    assert len(found) == 1, ran.stdout
    assert f"{weights.relative_to(broken.root)}: expected a whole safetensors file; found" in found[0]
    assert "Traceback" not in ran.stdout
    assert not (broken.root / target).exists()


@pytest.fixture(scope="session")
def killed(tmp_path_factory) -> tuple[Workspace, dict[str, int]]:
    """A workspace whose run was killed once a first result was there, and what was finished by then."""
    workspace = Workspace.make(tmp_path_factory.mktemp("killed"))
    log = workspace.root / "run.log"
    with log.open("w") as stream:
        running = subprocess.Popen(
            workspace.command(*SMOKE),
            cwd=workspace.root,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE_S
    while not FIRST.search(log.read_text(encoding="utf-8")):
        assert running.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.02)
    forks = []
    for child in psutil.Process(running.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # jobs come and go
            forks += [child] * ("deqbench.ready" in child.cmdline())
    assert len(forks) == 1
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert psutil.wait_procs(forks, timeout=PATIENCE_S)[1] == []
    return workspace, workspace.outputs()


def test_a_killed_run_goes_on_where_it_stopped_and_ends_in_the_same_tables(made, killed):
    workspace, finished = killed
    assert "results/smoke/checkpoints/digits/config.json" in finished
    assert "reports/smoke/index.html" not in finished
    released = workspace.deqbench("workflow", "release")
    assert released.returncode == 0, released.stderr
    assert released.stderr.startswith("the run that locked this directory is dead: removing its lock")
    ran = workspace.snakemake(*SMOKE)
    assert ran.returncode == 0, ran.stdout
    after = workspace.outputs()
    assert {path: after.get(path) for path in finished} == finished
    assert after.keys() == made.outputs().keys()
    for table in (*(f"deq-ddim/{name}" for name in TABLES["deq-ddim"]), *SETTLED):
        mine, theirs = (pd.read_csv(w.root / f"results/smoke/tables/{table}.csv") for w in (workspace, made))
        times = mine["metric"].isin(TIMES)
        pd.testing.assert_frame_equal(mine[~times], theirs[~times], check_exact=True)
        pd.testing.assert_frame_equal(mine[["method", "metric", "n"]], theirs[["method", "metric", "n"]])
