"""The report in one Markdown file, for terminals and machines."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deqbench.records import write_text
from deqbench.report import ran
from deqbench.report.blocks import Block, Cell
from deqbench.report.ledger import VERDICTS, Claim
from deqbench.report.ran import Job

if TYPE_CHECKING:
    from deqbench.report.site import Paper, Shown


def write(path: Path, scale: str, shown: Sequence["Paper"], jobs: Sequence[Job]) -> None:
    """Writes a Markdown file of what ran, the counts and verdicts of the claims, and every measured table."""
    lines = [f"# deqbench: {scale}", "", *_what_ran(jobs), "", "## Claims", "", *_counts(shown), ""]
    for paper in shown:
        lines += [_claim(claim) for claim in paper.claims if claim.verdict != "not measured yet"]
    for paper in shown:
        measured = [exhibit for exhibit in paper.shown if exhibit.status == "measured"]
        lines += ["", f"## {_text(paper.about.short)}", ""]
        lines += [f"{len(measured)} of {len(paper.shown)} exhibits are measured."]
        lines += _exhibits((*measured, *paper.studies))
    lines += ["", "## Performance", "", *_exhibits(study for paper in shown for study in paper.performance)]
    write_text(path, "\n".join(lines) + "\n")


def _exhibits(shown: Iterable["Shown"]) -> Iterator[str]:
    for exhibit in (exhibit for exhibit in shown if exhibit.status == "measured"):
        stale = f" (stale records: {exhibit.stale})" if exhibit.stale else ""
        yield from ("", f"### {exhibit.exhibit.number}: {_text(exhibit.exhibit.title)}{stale}", "")
        yield from (f"- {_text(fact)}" for fact in exhibit.facts)
        for block in exhibit.blocks:
            yield from _block(block)


def _text(text: str) -> str:
    """Text that no Markdown reader takes for a tag, a column or a line's end."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _what_ran(jobs: Sequence[Job]) -> Iterator[str]:
    period = ran.period(jobs)
    if period is None:
        yield "No records yet."
        return
    yield f"- {len(jobs)} jobs, {ran.duration(sum(job.wall_s for job in jobs))} in total, {period[0]} to {period[1]}"
    yield f"- code {_text(ran.values(jobs, 'version'))}, commit {_text(ran.values(jobs, 'commit'))}"
    yield f"- device {_text(ran.values(jobs, 'device'))}, threads {_text(ran.values(jobs, 'threads'))}"
    if stale := sum(job.stale for job in jobs):
        yield f"- stale records, made by other code: {stale}"


def _counts(shown: Sequence["Paper"]) -> Iterator[str]:
    yield _row(("paper", *VERDICTS))
    yield _row("---" for _ in range(len(VERDICTS) + 1))
    for paper in shown:
        yield _row((paper.about.short, *(str(count) for count in paper.counts.values())))


def _claim(claim: Claim) -> str:
    said = f"- **{claim.id}** {claim.verdict}: {_text(claim.statement)}. {_text(claim.sentence)}"
    return said + "".join(f" Accepted at {other.scale}: {other.verdict}." for other in claim.elsewhere)


def _block(block: Block) -> Iterator[str]:
    keys = ", ".join(f"{name} = {value}" for name, value in block.keys)
    yield ""
    yield f"{_text(keys)}{f' (stands in for {_text(block.stands_in_for)})' if block.stands_in_for else ''}"
    yield ""
    heads = (
        f"{head.label} ({head.unit})" if head.unit not in ("", "unitless") else head.label for head in block.columns
    )
    yield _row(("", *heads))
    yield _row("---" for _ in range(len(block.columns) + 1))
    for label, cells in block.rows:
        yield _row((label, *map(_cell, cells)))
    yield from ("", *(f"No {_text(labels)} here: {_text(reason)}." for labels, reason in block.absent))


def _cell(cell: Cell) -> str:
    kind = "" if cell.kind in ("", "measured") else f"({cell.kind})"
    printed = f"; printed {cell.printed} ({cell.printed_row}{', stand-in' if cell.relation == 'stand-in' else ''})"
    reason = "" if cell.text or not cell.note else f": {cell.note}"
    value = " ".join(part for part in (cell.text or f"—{reason}", cell.interval, kind) if part)
    return value + (printed if cell.printed else "")
