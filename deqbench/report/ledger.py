"""The claims ledger: what a paper claims, joined with the verdicts that were computed."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from deqbench import papers
from deqbench.config.sentences import checked
from deqbench.config.strict import Strict
from deqbench.errors import UserError, unknown
from deqbench.papers.predicates import Verdict
from deqbench.records import read_json
from deqbench.report.verdicts import Measured

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
SAID = {"id", "statement", "where", "evidence", "check"}  # of a claim by its paper's file


class Elsewhere(Strict):
    """A claim's verdict by the accepted tables of another scale."""

    scale: str
    date: str = ""
    verdict: Verdict
    sentence: str = ""
    measured: tuple[Measured, ...] = ()


class Claim(Strict):
    """A claim with its verdict."""

    id: str
    statement: str
    where: str
    evidence: str
    check: str
    verdict: Verdict = "not measured yet"
    sentence: str = ""
    measured: tuple[Measured, ...] = ()
    needs: tuple[str, ...] = ()
    exhibits: tuple[str, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()


def claims(paper: str, results: Path) -> tuple[Claim, ...]:
    """All claims of a paper; those without a verdict are not measured yet. UserError: an unknown claim or verdict."""
    path = results / "claims" / f"{paper}.json"
    entries: dict[str, Any] = {claim.id: claim.model_dump(include=SAID) for claim in papers.claims(paper)}
    for entry in read_json(path) if path.exists() else ():
        if not isinstance(entry, dict) or "id" not in entry:
            raise UserError(f"{path}: expected a list of claims with an id; found {str(entry)[:60]!r}")
        if entry["id"] not in entries:
            raise unknown(f"{path}: id", entry["id"], entries)
        entries[entry["id"]] |= entry
    return tuple(checked(TypeAdapter(dict[str, Claim]), entries, str(path)).values())


def strip(row: Measured) -> dict[str, Any] | None:
    """Places of value, interval and limits on a line from 0 to 100; None where all are one, or not finite."""
    ends = [row.value, row.low, row.high, *row.limits]
    start, length = min(ends), max(ends) - min(ends)
    if not 0 < length < float("inf"):
        return None

    def at(number: float) -> float:
        return round(6 + 88 * (number - start) / length, 2)

    return {"value": at(row.value), "low": at(row.low), "high": at(row.high), "limits": [at(end) for end in row.limits]}


def counts(claims: Iterable[Claim]) -> dict[str, int]:
    """Counts of claims by verdict, in the order of VERDICTS."""
    by_verdict = Counter(claim.verdict for claim in claims)
    return {verdict: by_verdict[verdict] for verdict in VERDICTS}
