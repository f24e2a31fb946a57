"""One predicate of a claim against table cells: intervals, thresholds, and what follows from each.

A result stands for a group of cells (dataset, T, and whatever else the exhibit's spec names). Where two cells are
compared that no column pairs, as along a key or in an order of methods, the interval is the widest difference of the
two: wider than a paired one, so never too sure.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from deqbench import papers
from deqbench.errors import UserError
from deqbench.papers.predicates import AnyPredicate, Bounded, Equivalence, Monotone, Named, Order, Verdict

KEYS = ("dataset", "T", "eta", "lr")  # of a group of cells, before those that the spec of an exhibit adds
RANGES = {"share": (0.0, 1.0), "correlation": (-1.0, 1.0)}


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


@dataclass(frozen=True)
class Group:
    """The cells that a predicate may look at in one group."""

    claim: str
    keys: dict[str, Any]  # dataset: digits, T: 20
    rows: pd.DataFrame

    @property
    def words(self) -> str:
        """digits, T=20, eta=0.2."""
        dataset, *rest = self.keys.items()
        words = (f"{name}={value if isinstance(value, str) else format(value, 'g')}" for name, value in rest)
        return ", ".join((str(dataset[1]), *words))

    def cell(self, method: str, metric: str) -> "Cell | None":
        """A cell with an interval; None where nothing was measured, or one image only. UserError: no number in it."""
        rows = self.rows[(self.rows["method"] == method) & (self.rows["metric"] == metric)]
        if rows.empty or not (row := rows.iloc[0])["n"] or (row["n"] == 1 and pd.isna(row["low"])):
            return None
        value, low, high = (float(row[name]) for name in ("value", "low", "high"))
        if not np.isfinite([value, low, high]).all():
            raise UserError(f"claim {self.claim}: expected a number with an interval at {self.words}; found {value}")
        label = f"{row['metric_label']} of {row['method_label']}"
        return Cell(label, str(row["metric_label"]), str(row["method_label"]), value, low, high, int(row["n"]))


@dataclass(frozen=True)
class Cell:
    """A value with its interval."""

    label: str
    metric: str
    method: str
    value: float
    low: float
    high: float
    n: int

    def less(self, other: "Cell", label: str) -> "Cell":
        """The widest difference of the two."""
        n, low, high = min(self.n, other.n), self.low - other.high, self.high - other.low
        return replace(self, label=label, value=self.value - other.value, n=n, low=low, high=high)


def measure(predicate: AnyPredicate, cells: pd.DataFrame, claim: str) -> list[Measured]:
    """One result a group that the predicate's `where` fits and that was measured; a step or pair has its own."""
    paper, exhibit = predicate.exhibit.split("/")
    fits = cells[(cells["paper"] == paper) & (cells["exhibit"] == exhibit)]
    for key, value in predicate.where.items():
        if key not in fits:  # no exhibit of this scale has such groups
            return []
        fits = fits[fits[key].isin(value if isinstance(value, list) else [value])]
    further = (key for key in papers.exhibit(predicate.exhibit).spec.group if key not in KEYS)
    keys = [key for key in (*KEYS, *further) if key in fits and fits[key].notna().any()]
    groups = [Group(claim, dict(zip(keys, at, strict=True)), rows) for at, rows in fits.groupby(keys)] if keys else []
    if isinstance(predicate, Monotone):
        return _steps(predicate, groups)
    return [result for group in groups for result in _in_group(predicate, group)]


def _in_group(predicate: Any, group: Group) -> list[Measured]:
    if isinstance(predicate, Order):
        return _ordered(predicate, group)
    cell = group.cell(predicate.method, predicate.metric)
    if cell is None:
        return []
    if isinstance(predicate, Equivalence):
        return [_result(cell, group, *_equivalent(predicate, cell, group))]
    if isinstance(predicate, Named):
        difference = NAMED[predicate.function](predicate, cell, group)
        return [] if difference is None else [_result(difference, group, *_against(difference, 0, 1))]
    return [_result(cell, group, *_bounded(predicate, cell))]


def _result(
    cell: Cell, group: Group, verdict: Verdict, threshold: str, limits: Any, why: str, at: str = ""
) -> Measured:
    label = f"{cell.label} on {at or group.words}"
    dataset = str(group.keys.get("dataset", ""))
    return Measured(label, cell.value, cell.low, cell.high, threshold, limits, cell.n, verdict, why, dataset)


Judged = tuple[Verdict, str, tuple[float, ...], str]


def _bounded(predicate: Bounded, cell: Cell) -> Judged:
    """The cell's interval against `at_least` or `at_most`. UserError: a value that the kind cannot have."""
    if predicate.kind == "ratio" and cell.low <= 0:
        raise UserError(f"a ratio claim needs positive values; found {cell.low}; use a difference for losses and dB")
    least, most = RANGES.get(predicate.kind, (-np.inf, np.inf))
    if not least <= cell.value <= most:  # a mean of shares may have an interval that goes beyond
        raise UserError(f"a {predicate.kind} lies from {least:g} to {most:g}; found {cell.value:g}")
    return _against(cell, predicate.threshold, 1 if predicate.at_least is not None else -1)


def _against(cell: Cell, threshold: float, sign: int) -> Judged:
    """sign: 1 where the value must be at least the threshold, -1 where at most."""
    nearer, farther = sorted((sign * cell.low, sign * cell.high))
    verdict: Verdict = "inconclusive"
    if nearer >= sign * threshold:
        verdict = "reproduced"
    elif farther < sign * threshold:
        verdict = "contradicted"
    return verdict, f"{'at least' if sign == 1 else 'at most'} {threshold:g}", (threshold,), ""


def _equivalent(predicate: Equivalence, cell: Cell, group: Group) -> Judged:
    """The same for an interval that must lie inside a margin, absolute or a share of another cell's value."""
    margin, words = _margin(predicate, group)
    verdict: Verdict = "inconclusive"
    if -margin < cell.low and cell.high < margin:
        verdict = "reproduced"
    elif cell.low > margin or cell.high < -margin:
        verdict = "contradicted"
    if predicate.control is not None:
        control = group.cell(predicate.control, predicate.metric)
        if control is None or not control.low > margin:
            seen = "none" if control is None else f"[{control.low:.3g}, {control.high:.3g}]"
            return "inconclusive", words, (-margin, margin), f" but the known-bad control is not told apart ({seen})"
    return verdict, words, (-margin, margin), ""


def _margin(predicate: Equivalence, group: Group) -> tuple[float, str]:
    if (of := predicate.margin_of) is None or predicate.margin_share is None:
        return float(predicate.margin or 0), f"margin {predicate.margin:.3g}"
    rows = group.rows[(group.rows["method"] == of.method) & (group.rows["metric"] == of.metric)]
    if rows.empty or not np.isfinite(base := float(rows["value"].iloc[0])):
        raise UserError(f"margin of an equivalence: expected a number for {of.metric} of {of.method}; found none")
    margin = predicate.margin_share * base
    return margin, f"margin {margin:.3g} ({predicate.margin_share:.0%} of {of.method}'s)"


def _steps(predicate: Monotone, groups: list[Group]) -> list[Measured]:
    """The rise, or fall, from each cell to the next one along a key, all other keys equal."""
    along, results = predicate.along, []
    measured = [(group, cell) for group in groups if (cell := group.cell(predicate.method, predicate.metric))]
    others = [key for key in groups[0].keys if key != along] if groups else []
    measured.sort(key=lambda pair: [pair[0].keys[key] for key in (*others, along)])
    for (before, here), (after, there) in pairwise(measured):
        if any(before.keys[key] != after.keys[key] for key in others):
            continue
        first, last, word = (there, here, "fall") if predicate.falls else (here, there, "rise")
        step = last.less(first, f"{word} of {there.metric} of {there.method}")
        place = Group("", {key: after.keys[key] for key in others}, after.rows).words
        at = f"{place}, {along} {before.keys[along]:g} to {after.keys[along]:g}"
        results.append(_result(step, after, *_against(step, 0, 1), at))
    return results


def _ordered(predicate: Order, group: Group) -> list[Measured]:
    """Differences of each method's cell and the one before; none where one of them was not measured."""
    cells = [cell for method in predicate.of if (cell := group.cell(method, predicate.metric))]
    if len(cells) < len(predicate.of):
        return []
    pairs = [there.less(here, f"{there.label} less {here.method}'s") for here, there in pairwise(cells)]
    return [_result(pair, group, *_against(pair, 0, 1)) for pair in pairs]


def _nearest(predicate: Named, cell: Cell, group: Group) -> Cell | None:
    """By how much the nearest of the others is farther from the reference than the method is."""
    aim = group.cell(predicate.reference, predicate.metric)
    others = [group.cell(name, predicate.metric) for name in predicate.others]
    if aim is None or any(other is None for other in others):
        return None
    mine, theirs = _distance(cell, aim), [_distance(other, aim) for other in others if other is not None]
    ends = {name: min(getattr(other, name) for other in theirs) for name in ("low", "high", "n")}
    nearest = replace(min(theirs, key=lambda other: other.value), **ends)
    return nearest.less(mine, f"{cell.label}, nearer to {aim.method} than any other by: difference")


def _distance(cell: Cell, aim: Cell) -> Cell:
    """The absolute difference; its interval starts at 0 where the two intervals meet."""
    gap = cell.less(aim, cell.label)
    ends = sorted((abs(gap.low), abs(gap.high)))
    return replace(gap, value=abs(gap.value), low=0.0 if gap.low <= 0 <= gap.high else ends[0], high=ends[1])


NAMED: dict[str, Callable[[Named, Cell, Group], Cell | None]] = {"nearest": _nearest}
