"""The claims ledger: what a paper claims, joined with the verdicts that were computed."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deqbench import papers
from deqbench.errors import UserError, unknown
from deqbench.records import read_json
from deqbench.report.blocks import number

VERDICTS = ("reproduced", "contradicted", "inconclusive", "not testable at this scale", "not measured yet")


@dataclass(frozen=True)
class Strip:
    """Where value, interval and limits lie on a line from 0 to 100."""

    value: float
    low: float
    high: float
    limits: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """One number that a verdict rests on."""

    label: str
    value: str
    interval: str
    threshold: str
    n: str
    verdict: str  # of this number alone, empty if not given
    why: str
    strip: Strip | None


@dataclass(frozen=True)
class Elsewhere:
    """What the accepted tables of another scale say of a claim."""

    id: str  # of the claim, at that scale
    scale: str
    date: str
    verdict: str
    sentence: str
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Claim:
    """A claim with its verdict."""

    id: str
    paper: str
    statement: str
    where: str
    evidence: str
    check: str
    verdict: str
    sentence: str
    measured: tuple[Measured, ...]
    needs: tuple[str, ...]
    exhibits: tuple[str, ...]
    printed: str
    elsewhere: tuple[Elsewhere, ...]


def claims(paper: str, results: Path) -> tuple[Claim, ...]:
    """All claims of a paper; those without a verdict are not measured yet. UserError: an unknown claim or verdict."""
    path = results / "claims" / f"{paper}.json"
    judged: dict[str, dict[str, Any]] = {}
    for entry in read_json(path) if path.exists() else ():
        if not isinstance(entry, dict) or "id" not in entry:
            raise UserError(f"{path}: expected a list of claims with an id; found {str(entry)[:60]!r}")
        judged[entry["id"]] = entry
    known = papers.claims(paper)
    for name in judged.keys() - {claim.id for claim in known}:
        raise unknown(f"{path}: id", name, (claim.id for claim in known))
    words = {"id", "statement", "where", "evidence", "check"}
    entries = ({**claim.model_dump(include=words), **judged.get(claim.id, {})} for claim in known)
    return tuple(_claim(paper, entry, path) for entry in entries)


def _claim(paper: str, entry: dict[str, Any], path: Path) -> Claim:
    texts = {name: str(entry.get(name) or "") for name in ("statement", "where", "evidence", "check", "sentence")}
    return Claim(
        id=entry["id"],
        paper=paper,
        verdict=_verdict(entry, f"{path}: {entry['id']}"),
        measured=tuple(_measured(row) for row in entry.get("measured") or ()),
        needs=tuple(map(str, entry.get("needs") or ())),
        exhibits=tuple(map(str, entry.get("exhibits") or ())),
        printed="" if entry.get("printed") is None else str(entry["printed"]),
        elsewhere=tuple(_elsewhere(found, entry["id"], path) for found in entry.get("elsewhere") or ()),
        **texts,
    )


def _verdict(entry: dict[str, Any], place: str) -> str:
    found = entry.get("verdict", "not measured yet")
    if found not in VERDICTS:
        raise unknown(f"{place}.verdict", found, VERDICTS)
    return str(found)


def _elsewhere(found: dict[str, Any], claim: str, path: Path) -> Elsewhere:
    scale = str(found.get("scale") or "")
    return Elsewhere(
        id=f"{claim} at {scale}",
        scale=scale,
        date=str(found.get("date") or ""),
        verdict=_verdict(found, f"{path}: {claim}.elsewhere"),
        sentence=str(found.get("sentence") or ""),
        measured=tuple(_measured(row) for row in found.get("measured") or ()),
    )


def _measured(row: dict[str, Any]) -> Measured:
    value, low, high, threshold = (row.get(name) for name in ("value", "low", "high", "threshold"))
    limits = row.get("limits") or []  # beside a threshold in words, such as `at least 2`
    if isinstance(threshold, int | float):
        limits, threshold = [threshold], number(threshold)
    return Measured(
        label=str(row.get("label") or ""),
        value="—" if value is None else number(value),
        interval="" if low is None or high is None else f"[{number(low)}, {number(high)}]",
        threshold=str(threshold or ""),
        n="" if row.get("n") is None else str(row["n"]),
        verdict=str(row.get("verdict") or ""),
        why=str(row.get("why") or "").strip(),
        strip=_strip(value, low, high, limits),
    )


def _strip(value: float | None, low: float | None, high: float | None, limits: list[float]) -> Strip | None:
    if value is None or low is None or high is None:
        return None
    ends = [value, low, high, *limits]
    start, length = min(ends), max(ends) - min(ends)
    if not 0 < length < float("inf"):
        return None

    def at(number: float) -> float:
        return round(6 + 88 * (number - start) / length, 2)

    return Strip(at(value), at(low), at(high), tuple(map(at, limits)))


def counts(found: Iterable[Claim]) -> dict[str, int]:
    """How many claims have each verdict, in the order of VERDICTS."""
    by_verdict = Counter(claim.verdict for claim in found)
    return {verdict: by_verdict[verdict] for verdict in VERDICTS}
