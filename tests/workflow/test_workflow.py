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

from deqbench import config, papers, provenance, workflow
from deqbench.trail import trail
from tests.command_line import run
from tests.workflow.workspace import REPOSITORY, Workspace, planned

# Timing claims all cores; here it shares them with other tests, whose threads it would only wait for.
SMOKE = (
    "--configfile",
    "config/smoke.yaml",
    "--set-threads",
    "sampling_times=1",
    "comparison_times=1",
    "inversion_times=1",
    "decoder_times=1",
    "latents_time=1",
)
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
FIRST = re.compile(r"^Finished jobid: \d+ \(Rule: (sampling|inversion|comparison|studies)_\w+\)$", re.MULTILINE)
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
def test_an_exhibit_is_shown_if_the_records_that_its_spec_names_are_there(made, paper):
    config_file = config.load(REPOSITORY / "config/smoke.yaml")
    results, shown = made.root / "results/smoke", 0
    for exhibit in (*papers.exhibits(paper), *papers.studies(paper)):
        if trail(exhibit, config_file, root=made.root):
            found = any(any(results.glob(pattern)) for pattern in exhibit.records)
            drawn = (results / f"figures/{paper}/{exhibit.id}/figure.json").exists()
            there = drawn or (results / f"tables/{paper}/{exhibit.id}.csv").exists()
            assert found == there, exhibit.id
            shown += there
    assert shown >= len({*TABLES[paper], *DRAWN[paper]})


def test_every_result_says_what_code_made_it(made):
    smoke = made.root / "results/smoke"
    results = [path for path in smoke.glob("deq-ddim/**/*") if path.suffix in (".safetensors", ".parquet")]
    results += [*smoke.glob("datasets/*.safetensors"), *smoke.glob("statistics/*.safetensors")]
    results += [*smoke.glob("deq-ddim/table-1/**/*.csv"), smoke / "checkpoints/digits"]
    assert len(results) >= 12
    for path in results:
        facts = json.loads(provenance.sidecar(path).read_text(encoding="utf-8"))
        command = facts["command"].split()[1]
        assert facts["code_digest"] == provenance.code_digest(f"deqbench.commands.{command}"), path
        assert facts["settings_digest"]


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
    assert (checked.code, checked.out.strip()) == (0, "every cell agrees with results/reference/smoke")


@pytest.mark.parametrize(
    ("experiment", "change", "rules"),
    [
        ("figure-2", {"rounds": 6}, {"sampling_latents": 1, "figure": 1}),
        ("figure-1", {"rounds": 9}, {"sampling_traces": 1, "figure": 1}),
        ("table-1", {"times": {"digits": {"repeats": 3}}}, {"sampling_times": 1}),
        ("table-2", {"eta": {"digits": [1, 0.5]}}, {"sampling_images": 1, "sampling_scores": 1, "sampling_times": 1}),
        ("figure-11", {"eta": [0.5]}, {"sampling_traces": 1, "figure": 1}),
        ("figure-12", {"eta": [0.5]}, {"sampling_samples": 1, "figure": 1}),
        ("figure-18", {"rounds": 6}, {"sampling_latents": 1, "figure": 1}),
        (
            "comparison",
            {"problems": {"digits": {"images": {10: 3}}}},
            {"comparison_measure": 1, "comparison_times": 1, "comparison_figure": 1},
        ),
    ],
)
def test_a_change_of_one_experiment_plans_that_experiment_and_the_report(made, experiment, change, rules):
    override = json.dumps({"deq-ddim": {experiment: change}})
    jobs = planned(made.snakemake(*SMOKE, "--dry-run", "--config", f"papers={override}"))
    tabled = ("table", "claims", "decoder_table", "decoder_claims", "comparison_table")
    report = dict.fromkeys(("effective_config", *tabled, "site", "reproduce"), 1)
    assert jobs == report | rules


def test_a_job_that_fails_shows_its_one_sentence(made, tmp_path):
    broken = Workspace(shutil.copytree(made.root, tmp_path / "broken"))
    weights = broken.root / "results/smoke/checkpoints/digits/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    target = "results/smoke/deq-ddim/table-1/digits/every-method/0.safetensors"
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


def locked(folder, *owners):
    """A folder with snakemake's lock and then the records of who holds it."""
    lock = folder / workflow.LOCKS / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/smoke/config.json\n")
    os.utime(lock, (1_000_000, 1_000_000))
    for owner in owners:
        path = folder / workflow.OWNERS / f"{owner['pid']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(owner))
    return lock


def owner(pid=None, **changes):
    process = psutil.Process(pid)
    found = {"host": workflow.platform.node(), "pid": process.pid, "created": process.create_time()}
    return found | changes


def test_without_a_lock_release_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("workflow", "release").code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_owner_lives_is_not_released(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dead = owner(created=1.0) | {"pid": 2**22 + 1}
    lock = locked(tmp_path, owner(), dead)
    assert run("workflow", "release").sentence.endswith(f"found process {os.getpid()} at work")
    assert lock.exists()


@pytest.mark.parametrize("records", ["none", "older than the lock"])
def test_a_lock_whose_owner_is_unknown_is_not_released(tmp_path, monkeypatch, records):
    monkeypatch.chdir(tmp_path)
    lock = locked(tmp_path, *([] if records == "none" else [owner(created=1.0)]))
    for path in (tmp_path / workflow.OWNERS).glob("*"):
        os.utime(path, (999_999, 999_999))
    assert "expected a lock whose owner is known; found one without" in run("workflow", "release").sentence
    assert lock.exists()


def test_a_lock_of_another_machine_is_not_released(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lock = locked(tmp_path, owner(host="elsewhere"))
    assert "expected a lock of this machine; found one of process" in run("workflow", "release").sentence
    assert lock.exists()


def test_a_lock_is_orphaned_by_a_dead_process_and_by_one_whose_number_was_given_to_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    locked(tmp_path, owner(created=1.0), owner(created=1.0) | {"pid": 2**22 + 1})
    assert workflow.lock_is_orphaned()


def test_a_record_of_an_earlier_run_elsewhere_does_not_hold_a_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    locked(tmp_path, owner(host="elsewhere"), owner(created=1.0) | {"pid": 2**22 + 1})
    os.utime(tmp_path / workflow.OWNERS / f"{os.getpid()}.json", (999_999, 999_999))
    assert workflow.lock_is_orphaned()


def test_a_run_writes_down_itself_as_the_owner_of_its_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workflow.claim_lock()
    (path,) = (tmp_path / workflow.OWNERS).iterdir()
    assert json.loads(path.read_text(encoding="utf-8")) == owner()
