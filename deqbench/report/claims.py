"""Verdicts: each claim's predicates over table cells, with their intervals. A pure function of the cells.

The kinds: `ratio` (of positive values), `difference` and `share` compare a cell's interval with a threshold
(`at_least`, `at_most`); `equivalence` asks that the interval lies inside a margin stated beforehand, and that a
known-bad variant does not; `monotone` that a cell does not fall `along` a key, such as eta, from one value to the next.
Its intervals are the widest differences of the two cells' intervals: wider than paired ones, so never too sure.
A predicate that no cell fits leaves its claim untested, unless it is marked `optional`.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from deqbench import papers
from deqbench.errors import UserError, unknown
from deqbench.scale import Config

Verdict = Literal["reproduced", "contradicted", "inconclusive", "not testable at this scale", "not measured yet"]
KINDS = ("ratio", "difference", "share", "equivalence", "monotone")
KEYS = ("dataset", "T", "eta", "lr")  # of a group of cells, with those that the spec of an exhibit adds


@dataclass(frozen=True)
class Measured:
    """One interval against its threshold."""

    label: str
    value: float
    low: float
    high: float
    threshold: str
    limits: tuple[float, ...]  # where the threshold lies
    n: int
    verdict: Verdict
    why: str = ""
    dataset: str = ""


def judge(claim: dict[str, Any], cells: pd.DataFrame, config: Config) -> dict[str, Any]:
    """A claim with its verdict, the sentence behind it and what was measured.

    cells: of all the exhibits that its predicates name (deqbench.report.tables.COLUMNS). UserError: a predicate of
    unknown kind, or a cell that is not a number.
    """
    facts = {key: claim.get(key, "") for key in ("id", "statement", "where", "evidence", "check")}
    predicates = claim.get("predicates", [])
    if not predicates:
        return {
            **facts,
            "verdict": "not measured yet",
            "sentence": "No experiment of this scale measures it yet.",
            **_lists(),
        }
    by_predicate = [_measure(predicate, cells, claim["id"]) for predicate in predicates]
    measured = [found for results in by_predicate for found in results]
    lacking = _lacking(claim.get("needs", []), config)
    pairs = zip(predicates, by_predicate, strict=True)
    lacking += [_words(p) for p, results in pairs if not results and not p.get("optional")]
    verdict = "not testable at this scale" if lacking else _together([found.verdict for found in measured])
    words = "; ".join(f"{m.label}: {m.value:.3g} [{m.low:.3g}, {m.high:.3g}], {m.threshold}{m.why}" for m in measured)
    standing_in = set(cells.loc[cells["stands_in_for"].fillna("") != "", "dataset"])
    stand_ins = sorted(standing_in & {found.dataset for found in measured})
    reason = f"It needs {' and '.join(lacking)}." if lacking else ""
    reason += " Measured all the same: " if reason and measured else ""
    on = f" (on stand-in data: {', '.join(stand_ins)})" if stand_ins else ""
    return {
        **facts,
        "verdict": verdict,
        "sentence": f"{reason}{words}{on}." if measured else reason,
        **_lists(measured, lacking, sorted({predicate["exhibit"] for predicate in predicates})),
    }


def judge_elsewhere(
    claim: dict[str, Any], cells: pd.DataFrame, accepted: dict[str, pd.DataFrame], config: Config
) -> list[dict[str, Any]]:
    """The same by the accepted cells of each other scale that measures it: scale, date, verdict, sentence, measured.

    accepted: by scale, with the date of each cell's origin. Exhibits that a scale has no table of are this run's.
    """
    found = []
    exhibits = {predicate["exhibit"] for predicate in claim.get("predicates", [])}
    for scale, others in accepted.items():
        theirs = others[_named(others).isin(exhibits)]
        own = cells[_named(cells).isin(exhibits - set(_named(theirs)))]
        if not judge(claim, theirs, config)["measured"]:
            continue
        judged = judge(claim, pd.concat([theirs, own], ignore_index=True), config)
        dates = sorted(str(date)[:10] for date in set(theirs["accepted"]) if date)
        facts = {name: judged[name] for name in ("verdict", "sentence", "measured")}
        found.append({"scale": scale, "date": " to ".join(dict.fromkeys(dates[:1] + dates[-1:])), **facts})
    return found


def _named(cells: pd.DataFrame) -> "pd.Series[str]":
    return cells["paper"] + "/" + cells["exhibit"]


def _lists(measured: Any = (), needs: Any = (), exhibits: Any = ()) -> dict[str, Any]:
    return {"measured": [asdict(found) for found in measured], "needs": list(needs), "exhibits": list(exhibits)}


def _together(verdicts: list[Verdict]) -> Verdict:
    if "contradicted" in verdicts:
        return "contradicted"
    return "reproduced" if set(verdicts) == {"reproduced"} else "inconclusive"


def _lacking(needs: list[dict[str, str]], config: Config) -> list[str]:
    """Of what a claim cannot do without, what this scale has not: a device, a data set; a measure, which none has."""
    datasets = {section.printed_as for section in config.subjects.values()}
    have: dict[str, set[str | None]] = {"device": {config.limits.device}, "dataset": datasets, "measure": set()}
    words = {"device": "a device of kind ", "dataset": "the data set ", "measure": "a measure of "}
    return [f"{words[kind]}{name}" for need in needs for kind, name in need.items() if name not in have[kind]]


def _measure(predicate: dict[str, Any], cells: pd.DataFrame, claim: str) -> list[Measured]:
    """One result a group (KEYS) that the predicate's `where` fits; for `monotone` one a step from group to group."""
    if predicate["kind"] not in KINDS:
        raise unknown(f"claim {claim}: predicate kind", predicate["kind"], KINDS)
    paper, exhibit = predicate["exhibit"].split("/")
    fits = cells[(cells["paper"] == paper) & (cells["exhibit"] == exhibit)]
    for key, value in predicate.get("where", {}).items():
        if key not in fits:  # no exhibit of this scale has such groups
            return []
        fits = fits[fits[key].isin(value if isinstance(value, list) else [value])]
    further = (key for key in papers.exhibit(predicate["exhibit"]).spec.get("group", ()) if key not in KEYS)
    keys = [key for key in (*KEYS, *further) if key in fits and fits[key].notna().any()]
    measured = []
    for values, group in fits.groupby(keys):
        cell = _one(group, predicate["method"], predicate["metric"])
        if cell is None or not cell["n"]:  # this group was not measured for this metric
            continue
        if cell["n"] == 1 and pd.isna(cell["low"]):  # one image bears no interval, hence no verdict
            continue
        at = _place(dict(zip(keys, values, strict=True)))
        if not np.isfinite([cell["value"], cell["low"], cell["high"]]).all():
            raise UserError(f"claim {claim}: expected a number with an interval at {at}; found {cell['value']}")
        measured.append((cell, group, at))
    if predicate["kind"] == "monotone":
        return _steps(predicate, [cell for cell, *_ in measured], keys)
    return [_judged(predicate, *found) for found in measured]


def _place(keys: dict[str, Any]) -> str:
    """A group in words: digits, T=20, eta=0.2."""
    dataset, *rest = keys.items()
    words = (f"{name}={value if isinstance(value, str) else format(value, 'g')}" for name, value in rest)
    return ", ".join((str(dataset[1]), *words))


def _judged(predicate: dict[str, Any], cell: Any, group: pd.DataFrame, at: str) -> Measured:
    judge_cell = _equivalent if predicate["kind"] == "equivalence" else _bounded
    verdict, threshold, limits, why = judge_cell(predicate, cell, group)
    label = f"{cell['metric_label']} of {cell['method_label']} on {at}"
    value, low, high = (float(cell[name]) for name in ("value", "low", "high"))
    return Measured(label, value, low, high, threshold, limits, int(cell["n"]), verdict, why, str(cell["dataset"]))


def _steps(predicate: dict[str, Any], cells: list[Any], keys: list[str]) -> list[Measured]:
    """The rise from each cell to the next one along a key, all other keys equal."""
    along = predicate["along"]
    others = [key for key in keys if key != along]
    ordered = sorted(cells, key=lambda cell: [cell[key] for key in (*others, along)])
    found = []
    for here, there in pairwise(ordered):
        if any(here[key] != there[key] for key in others):
            continue
        rise = there.copy()
        rise["value"] = there["value"] - here["value"]
        rise["low"], rise["high"] = there["low"] - here["high"], there["high"] - here["low"]
        rise["n"] = min(here["n"], there["n"])
        rise["metric_label"] = f"rise of {there['metric_label']}"
        at = f"{_place({key: there[key] for key in others})}, {along} {here[along]:g} to {there[along]:g}"
        found.append(_judged({"kind": "difference", "at_least": 0}, rise, pd.DataFrame(), at))
    return found


def _words(predicate: dict[str, Any]) -> str:
    """What a predicate that no cell fits would need."""
    where = ", ".join(f"{key} in {value}" for key, value in predicate.get("where", {}).items())
    several = f" at two values of {predicate['along']}" if "along" in predicate else ""
    return f"{predicate['metric']} of {predicate['method']}{several}{' at ' if where else ''}{where}"


def _one(group: pd.DataFrame, method: str, metric: str) -> Any:
    rows = group[(group["method"] == method) & (group["metric"] == metric)]
    return None if rows.empty else rows.iloc[0]


Judged = tuple[Verdict, str, tuple[float, ...], str]


def _bounded(predicate: dict[str, Any], cell: Any, _group: pd.DataFrame) -> Judged:
    """Verdict, threshold in words and as limits, reason: the cell's interval against `at_least` or `at_most`."""
    if predicate["kind"] == "ratio" and cell["low"] <= 0:
        raise UserError(f"a ratio claim needs positive values; found {cell['low']}; use a difference for losses and dB")
    sign = 1 if "at_least" in predicate else -1
    threshold = predicate["at_least" if sign == 1 else "at_most"]
    nearer, farther = sorted((sign * cell["low"], sign * cell["high"]))
    verdict: Verdict = "inconclusive"
    if nearer >= sign * threshold:
        verdict = "reproduced"
    elif farther < sign * threshold:
        verdict = "contradicted"
    return verdict, f"{'at least' if sign == 1 else 'at most'} {threshold:g}", (threshold,), ""


def _equivalent(predicate: dict[str, Any], cell: Any, group: pd.DataFrame) -> Judged:
    """The same for an interval that must lie inside a margin, a share of another cell's value."""
    of = predicate["margin_of"]
    base = _one(group, of["method"], of["metric"])
    if base is None or not np.isfinite(base["value"]):
        raise UserError(f"margin of an equivalence: expected a number for {of['metric']} of {of['method']}; found none")
    margin = predicate["margin_share"] * base["value"]
    verdict: Verdict = "inconclusive"
    if -margin < cell["low"] and cell["high"] < margin:
        verdict = "reproduced"
    elif cell["low"] > margin or cell["high"] < -margin:
        verdict = "contradicted"
    words = f"margin {margin:.3g} ({predicate['margin_share']:.0%} of {of['method']}'s)"
    control = _one(group, predicate["control"], cell["metric"])
    if control is None or not control["low"] > margin:
        seen = "none" if control is None else f"[{control['low']:.3g}, {control['high']:.3g}]"
        return "inconclusive", words, (-margin, margin), f" but the known-bad control is not told apart ({seen})"
    return verdict, words, (-margin, margin), ""
