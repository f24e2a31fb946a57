"""Jobs that ran: the provenance beside the records, and whether today's code would make them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from deqbench import provenance
from deqbench.records import read_json


@dataclass(frozen=True)
class Job:
    """A record and the facts of the job that made it; no facts where the sidecar is missing."""

    record: str  # relative to the repository
    facts: dict[str, Any]
    stale: bool  # made by other code than today's

    @property
    def task(self) -> str:
        """The words of the command before its options: deqbench sampling draw."""
        words = str(self.facts.get("command", "")).split()
        options = (at for at, word in enumerate(words) if word.startswith("-"))
        return " ".join(words[: min(3, next(options, len(words)))]) or "unknown"

    @property
    def wall_s(self) -> float:
        """Seconds that the job took, 0 where that is unknown."""
        return float(self.facts.get("wall_s") or 0)

    @property
    def peak_bytes(self) -> int:
        """Peak memory of the job's process, 0 where that is unknown."""
        return int(self.facts.get("peak_rss_bytes") or 0)


def job(record: str, root: Path) -> Job:
    """The job behind a record (relative to `root`). UserError: its sidecar is no JSON."""
    path = provenance.sidecar(root / record)
    facts = read_json(path) if path.exists() else {}
    return Job(record, facts, _stale(facts))


def jobs(folder: Path, root: Path) -> tuple[Job, ...]:
    """All jobs with a sidecar under a folder, each once, by the name of its first output."""
    names = sorted(path.relative_to(root).as_posix() for path in folder.rglob(f"*{provenance.SUFFIX}"))
    every = [job(name.removesuffix(provenance.SUFFIX), root) for name in names]
    return tuple(each for each in every if each.facts.get("outputs", [each.record])[0] == each.record)


def _stale(facts: dict[str, Any]) -> bool:
    if not facts:
        return False  # nothing is known; the page says that instead
    outside = provenance.outside(facts.get("settings"))
    return "module" not in facts or facts.get("code_digest") != provenance.code_digest(facts["module"], outside=outside)


def tasks(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """Jobs summed up by command, by name: command, jobs, stale, wall_s, longest_s, peak_bytes."""
    rows = [(job.task, job.stale, job.wall_s, job.wall_s, job.peak_bytes) for job in jobs]
    frame = pd.DataFrame(rows, columns=["command", "stale", "wall_s", "longest_s", "peak_bytes"])
    sums = {"stale": "sum", "wall_s": "sum", "longest_s": "max", "peak_bytes": "max"}
    grouped = frame.groupby("command")
    return grouped.agg(sums).assign(jobs=grouped.size()).reset_index().to_dict("records")  # type: ignore[return-value]


def values(jobs: Iterable[Job], name: str) -> str:
    """All different values of one fact, joined by commas."""
    return ", ".join(sorted({str(job.facts[name]) for job in jobs if job.facts.get(name) not in (None, "")}))


def packages(jobs: Iterable[Job]) -> dict[str, str]:
    """Versions of the packages, several where jobs differ."""
    versions: dict[str, set[str]] = {}
    for job in jobs:
        for name, version in job.facts.get("packages", {}).items():
            versions.setdefault(name, set()).add(str(version))
    return {name: ", ".join(sorted(versions[name])) for name in sorted(versions, key=str.lower)}


def period(jobs: Iterable[Job]) -> tuple[str, str] | None:
    """Start of the first job and end of the last one, to the minute. None: no job says."""
    timed = [job for job in jobs if job.facts.get("started")]
    starts = [datetime.fromisoformat(job.facts["started"]) for job in timed]
    ends = [start + timedelta(seconds=job.wall_s) for start, job in zip(starts, timed, strict=True)]
    if not timed:
        return None
    first, last = (f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip() for time in (min(starts), max(ends)))
    return first, last


def duration(seconds: float) -> str:
    """A length of time in two units at most: 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """Bytes in MB or GB (powers of ten); empty for 0."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB" if count else ""
