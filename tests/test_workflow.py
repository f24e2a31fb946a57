"""Who holds the lock of a working directory, and when it may be removed."""

import json
import os

import psutil
import pytest

from deqbench import workflow
from tests.command_line import run


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
