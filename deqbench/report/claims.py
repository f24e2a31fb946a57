"""Verdicts on claims: what their predicates find together, and what a scale lacks. A pure function of the cells.

A predicate that no cell fits leaves its claim untested, unless it is marked `optional`.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd

from deqbench.papers import Claim
from deqbench.papers.predicates import AnyPredicate, Monotone, Need, Verdict
from deqbench.report.verdicts import Measured, measure
from deqbench.scale import Config


def judge(claim: Claim, cells: pd.DataFrame, config: Config) -> dict[str, Any]:
    """A claim with its verdict, the sentence behind it and what was measured.

    cells: of all the exhibits that its predicates name (deqbench.report.tables.COLUMNS). UserError: a cell that is not
    a number, or not one that its predicate's kind can have.
    """
    by_predicate = [measure(predicate, cells, claim.id) for predicate in claim.predicates]
    measured = [result for results in by_predicate for result in results]
    lacking = _lacking(claim.needs, config) if claim.predicates else []
    pairs = zip(claim.predicates, by_predicate, strict=True)
    lacking += [_words(predicate) for predicate, results in pairs if not results and not predicate.optional]
    verdict = _together([result.verdict for result in measured]) if claim.predicates else "not measured yet"
    sentence = (
        _sentence(measured, lacking, cells) if claim.predicates else "No experiment of this scale measures it yet."
    )
    return {
        **{key: getattr(claim, key) for key in ("id", "statement", "where", "evidence", "check")},
        "verdict": "not testable at this scale" if lacking else verdict,
        "sentence": sentence,
        "measured": [asdict(result) for result in measured],
        "needs": lacking,
        "exhibits": sorted({predicate.exhibit for predicate in claim.predicates}),
    }


def _sentence(measured: list[Measured], lacking: list[str], cells: pd.DataFrame) -> str:
    """The sentence behind a verdict: what is lacking, what was measured, and on which stand-in data."""
    reason = f"It needs {' and '.join(lacking)}." if lacking else ""
    if not measured:
        return reason
    words = "; ".join(f"{m.label}: {m.value:.3g} [{m.low:.3g}, {m.high:.3g}], {m.threshold}{m.why}" for m in measured)
    standing_in = set(cells.loc[cells["stands_in_for"].fillna("") != "", "dataset"])
    stand_ins = sorted(standing_in & {result.dataset for result in measured})
    on = f" (on stand-in data: {', '.join(stand_ins)})" if stand_ins else ""
    return f"{reason}{' Measured all the same: ' if reason else ''}{words}{on}."


def judge_elsewhere(
    claim: Claim, cells: pd.DataFrame, accepted: dict[str, pd.DataFrame], config: Config
) -> list[dict[str, Any]]:
    """The same by the accepted cells of each other scale that measures it: scale, date, verdict, sentence, measured.

    accepted: by scale, with the date of each cell's origin. Exhibits that a scale has no table of are this run's.
    """
    judgements = []
    exhibits = {predicate.exhibit for predicate in claim.predicates}
    for scale, others in accepted.items():
        theirs = others[_named(others).isin(exhibits)]
        own = cells[_named(cells).isin(exhibits - set(_named(theirs)))]
        if not judge(claim, theirs, config)["measured"]:
            continue
        judged = judge(claim, pd.concat([theirs, own], ignore_index=True), config)
        dates = sorted(str(date)[:10] for date in set(theirs["accepted"]) if date)
        facts = {name: judged[name] for name in ("verdict", "sentence", "measured")}
        judgements.append({"scale": scale, "date": " to ".join(dict.fromkeys(dates[:1] + dates[-1:])), **facts})
    return judgements


def _named(cells: pd.DataFrame) -> "pd.Series[str]":
    return cells["paper"] + "/" + cells["exhibit"]


def _together(verdicts: list[Verdict]) -> Verdict:
    if "contradicted" in verdicts:
        return "contradicted"
    return "reproduced" if set(verdicts) == {"reproduced"} else "inconclusive"


def _lacking(needs: Iterable[Need], config: Config) -> list[str]:
    """Of what a claim cannot do without, what this scale has not: a device, a data set; a measure, which none has."""
    datasets = {section.printed_as for section in config.subjects.values()}
    have: dict[str, set[str | None]] = {"device": {config.limits.device}, "dataset": datasets, "measure": set()}
    words = {"device": "a device of kind ", "dataset": "the data set ", "measure": "a measure of "}
    named = ((kind, name) for need in needs for kind, name in need.model_dump(exclude_unset=True).items())
    return [f"{words[kind]}{name}" for kind, name in named if name not in have[kind]]


def _words(predicate: AnyPredicate) -> str:
    """The cells that a predicate without any would need, in words."""
    where = ", ".join(f"{key} in {value}" for key, value in predicate.where.items())
    several = f" at two values of {predicate.along}" if isinstance(predicate, Monotone) else ""
    method = getattr(predicate, "method", " and ".join(predicate.methods))
    return f"{predicate.metric} of {method}{several}{' at ' if where else ''}{where}"
