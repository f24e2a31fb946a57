"""The ready process: a command in its fork does what it does by itself, and neither outlives who asked for it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deqbench import ready
from deqbench.provenance import sidecar

BIN = Path(sys.executable).parent
PATIENCE_S = 120


@pytest.fixture(scope="module")
def forks():
    """The ready process of these tests, and the environment of a command that uses it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv(ready.VARIABLE, raising=False)
        process = ready.start()
        environment = {ready.VARIABLE: os.environ[ready.VARIABLE]}
    yield psutil.Process(process.pid), environment
    process.kill()
    process.wait()
    shutil.rmtree(Path(environment[ready.VARIABLE]).parent)


def deqbench(folder, *words, environment=None):
    """Runs the console script to its end."""
    command = [str(BIN / "deqbench"), *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=os.environ | (environment or {}), text=True, capture_output=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("zoo", "--help"), 0),
        (("config", "check", "no-such.yaml"), 1),
        (("config", "no-such-command"), 2),
    ],
)
def test_a_fork_prints_and_ends_as_the_command_by_itself(forks, tmp_path, words, code):
    alone, forked = deqbench(tmp_path, *words), deqbench(tmp_path, *words, environment=forks[1])
    assert forked.returncode == alone.returncode == code
    assert (forked.stdout, forked.stderr) == (alone.stdout, alone.stderr)
    assert forked.stdout + forked.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_makes_the_same_bytes_in_its_folder_with_its_threads(forks, tmp_path, threads):
    made = {}
    for name, environment in (("alone", {}), ("forked", forks[1])):
        folder = tmp_path / name
        folder.mkdir()
        settings = json.dumps({"dataset": "digits", "source": "digits", "options": {}})
        words = ("run", "inputs.dataset", "--settings", settings, "--output", "images=digits.safetensors")
        ran = deqbench(folder, *words, environment=environment | {"OMP_NUM_THREADS": str(threads)})
        assert ran.returncode == 0, ran.stderr
        made[name] = (folder / "digits.safetensors").read_bytes()
        assert json.loads(sidecar(folder / "digits.safetensors").read_text())["threads"] == threads
    assert made["forked"] == made["alone"]


@pytest.fixture
def waiting(forks):
    """A command that waits for ever in a fork, for room in the pipe it prints to, and that fork."""
    assert psutil.wait_procs(forks[0].children(), timeout=PATIENCE_S)[1] == []  # of the tests before
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(1))
    os.set_blocking(writing, True)
    command = [str(BIN / "deqbench"), "zoo", "--help"]
    asked = subprocess.Popen(command, env=os.environ | forks[1], stdout=writing, stderr=subprocess.PIPE, text=True)
    fork = None
    while fork is None:
        assert asked.poll() is None
        time.sleep(0.02)
        fork = next(iter(forks[0].children()), None)
    yield asked, fork
    asked.kill()
    asked.wait()
    os.close(reading)
    os.close(writing)


def test_a_fork_ends_with_who_asked_for_it(waiting):
    asked, fork = waiting
    asked.kill()
    assert psutil.wait_procs([fork], timeout=PATIENCE_S)[1] == []


def test_a_fork_that_was_killed_is_an_error_of_one_sentence(waiting):
    asked, fork = waiting
    fork.kill()
    _, stderr = asked.communicate(timeout=PATIENCE_S)
    assert asked.returncode == ready.LOST
    assert stderr == "deqbench: expected an exit code of this job's process; found it killed\n"


def test_where_nothing_listens_the_command_runs_by_itself(tmp_path):
    ran = deqbench(tmp_path, "zoo", "--help", environment={ready.VARIABLE: str(tmp_path / "ready")})
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "checkpoints" in ran.stdout


def test_without_room_for_a_socket_jobs_run_by_themselves(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(ready.tempfile, "tempdir", str(folder))
    monkeypatch.delenv(ready.VARIABLE, raising=False)
    assert ready.start() is None
    assert ready.VARIABLE not in os.environ
    assert list(folder.iterdir()) == []


def test_the_ready_process_ends_with_its_parent_and_leaves_nothing_behind(tmp_path):
    script = "import os; from deqbench import ready; print(ready.start().pid, os.environ[ready.VARIABLE])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pid, path = ran.stdout.split()
    if psutil.pid_exists(int(pid)):
        assert psutil.wait_procs([psutil.Process(int(pid))], timeout=PATIENCE_S)[1] == []
    assert not Path(path).parent.exists()
