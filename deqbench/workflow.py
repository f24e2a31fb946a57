"""What the Snakefile needs beside the config: its file's name, and who holds the lock of a working directory."""

import platform
from pathlib import Path
from typing import Any

import psutil

from deqbench.errors import UserError
from deqbench.records import read_json, write_json

OWNER = Path(".snakemake/deqbench-owner.json")
LOCKS = Path(".snakemake/locks")


def config_source(workflow: Any) -> str:
    """The config file that errors name: the last one that snakemake merged."""
    return str(workflow.configfiles[-1]) if workflow.configfiles else "--config"


def claim_lock() -> None:
    """Writes down which process holds snakemake's lock of this directory; its own lock files do not say."""
    process = psutil.Process()
    write_json(OWNER, {"host": platform.node(), "pid": process.pid, "created": process.create_time()})


def lock_is_orphaned() -> bool:
    """Whether a lock is held by a process of this machine that is dead. UserError: its owner lives, or is not known."""
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return False
    if not OWNER.exists():
        raise UserError(f"{LOCKS}: expected a lock whose owner is known; found one without (snakemake --unlock removes it)")
    owner = read_json(OWNER)
    if owner["host"] != platform.node():
        raise UserError(f"{LOCKS}: expected a lock of this machine; found one of process {owner['pid']} on {owner['host']}")
    if psutil.pid_exists(owner["pid"]) and _created(owner["pid"]) == owner["created"]:
        raise UserError(f"{Path.cwd()}: expected no other run here; found process {owner['pid']} at work")
    return True


def _created(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


