"""Words for the Snakefile beside the config: its file's name, and who holds the lock of a working directory."""

import platform
from pathlib import Path
from typing import Any

import psutil

from deqbench.errors import UserError, unknown
from deqbench.records import read_json, write_json

OWNERS = Path(".snakemake/deqbench-owners")
LOCKS = Path(".snakemake/locks")


def scale_file(config: Any) -> str:
    """The file of the scale that `--config scale=` asks for, else the demo's. UserError: there is none of that name."""
    files = {path.stem: str(path) for path in sorted(Path("config").glob("*.yaml")) if path.stem != "zoo"}
    asked = str(config.get("scale", "demo"))
    if asked not in files:
        raise unknown("--config: scale", asked, files)
    return files[asked]


def config_source(workflow: Any) -> str:
    """The config file that errors and pages name: the last one merged, relative where it lies below here."""
    if not workflow.configfiles:
        return "--config"
    path, here = Path(workflow.configfiles[-1]), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def claim_lock() -> None:
    """Writes down which process holds a lock of this directory; snakemake's own lock files do not say."""
    process = psutil.Process()
    owner = {"host": platform.node(), "pid": process.pid, "created": process.create_time()}
    write_json(OWNERS / f"{process.pid}.json", owner)


def lock_is_orphaned() -> bool:
    """Whether all locks here are of processes of this machine that are dead. UserError: one lives, or is not known.

    A run takes its lock first and then says whose it is, so an older record than the lock belongs to an earlier run.
    """
    locks = sorted(path.stat().st_mtime for path in LOCKS.glob("*"))
    if not locks:
        return False
    written = {path: path.stat().st_mtime for path in OWNERS.glob("*.json")}
    owners = [read_json(path) for path, when in sorted(written.items()) if when >= locks[0]]
    for owner in owners:
        if owner["host"] != platform.node():
            found = f"process {owner['pid']} on {owner['host']}"
            raise UserError(f"{LOCKS}: expected a lock of this machine; found one of {found}")
        if psutil.pid_exists(owner["pid"]) and _created(owner["pid"]) == owner["created"]:
            raise UserError(f"{Path.cwd()}: expected no other run here; found process {owner['pid']} at work")
    if max(written.values(), default=0.0) < locks[-1]:
        raise UserError(
            f"{LOCKS}: expected a lock whose owner is known; found one without (snakemake --unlock removes it)"
        )
    return True


def _created(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
