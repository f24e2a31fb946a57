"""Tables against the accepted reference: what moved, by how much, against which tolerance.

A metric whose tolerance is the word `shown` hangs on the machine (seconds, what is reached within them, resident
memory): its cells must be there, but their values are not compared. Ratios within a run are, to a wide factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench import papers
from deqbench.errors import UserError
from deqbench.papers.spec import Allowance
from deqbench.records import read_frame
from deqbench.report import ran


@dataclass(frozen=True)
class Difference:
    """One cell that is not where the reference has it."""

    cell: str
    what: str

    def __str__(self) -> str:
        return f"{self.cell}: {self.what}"


@dataclass(frozen=True)
class Comparison:
    """Differences, and how many cells both sides have that were compared, or shown only."""

    differences: tuple[Difference, ...]
    compared: int
    shown: int

    def __str__(self) -> str:
        return f"{self.compared} cells compared; {self.shown} that hang on the clock or the machine shown only"


def tables(folder: Path) -> dict[str, Path]:
    """Exhibit ids and their cells' files under a folder of tables."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(folder.glob("*/*.csv"))}


def about(results: Path) -> dict[str, str]:
    """When, by what and on what the records of a run were made; empty for a run without provenance."""
    jobs = ran.jobs(results, results)
    period = ran.period(jobs)
    if period is None:
        return {}
    return {"date": period[1], **{name: ran.values(jobs, name) for name in ("version", "commit", "device", "threads")}}


def compare(made: Path, accepted: Path) -> Comparison:
    """Every cell of the tables under `made` that the reference under `accepted` does not bear out, and the counts.

    UserError: either folder has no tables.
    """
    mine, theirs = tables(made), tables(accepted)
    for folder, files in ((made, mine), (accepted, theirs)):
        if not files:
            raise UserError(f"{folder}: expected tables as <paper>/<exhibit>.csv; found none")
    differences = [Difference(name, "in the reference, missing here") for name in theirs if name not in mine]
    differences += [Difference(name, "new: not in the reference") for name in mine if name not in theirs]
    parts = [_compare_table(name, read_frame(mine[name]), read_frame(theirs[name])) for name in mine if name in theirs]
    differences += [difference for part in parts for difference in part.differences]
    return Comparison(tuple(differences), sum(part.compared for part in parts), sum(part.shown for part in parts))


def _compare_table(name: str, mine: pd.DataFrame, theirs: pd.DataFrame) -> Comparison:
    spec = papers.exhibit(name).spec
    tolerances, keys = {metric.id: metric.tolerance for metric in spec.metrics}, [*spec.group, "method", "metric"]
    both = mine.merge(theirs, on=keys, how="outer", suffixes=("", "_accepted"), indicator="side")
    differences, counts = [], {True: 0, False: 0}
    for _, row in both.iterrows():
        tolerance = tolerances.get(row["metric"], {})
        if row["side"] != "both":
            what = "new: not in the reference" if row["side"] == "left_only" else "in the reference, missing here"
        else:
            what = "" if tolerance == "shown" else _moved(row, tolerance)
            counts[tolerance == "shown"] += 1
        if what:
            further = [(key, row[key]) for key in spec.group[1:]]
            words = (f"{key}={value if isinstance(value, str) else format(value, 'g')}" for key, value in further)
            cell = f"{name} {' '.join((row['dataset'], *words))} {row['method']} {row['metric']}"
            differences.append(Difference(cell, what))
    return Comparison(tuple(differences), counts[False], counts[True])


def _moved(row: Any, tolerance: Mapping[Allowance, float]) -> str:
    """Why a cell fails its tolerance, or nothing."""
    value, accepted = row["value"], row["value_accepted"]
    if pd.isna(value) and pd.isna(accepted):
        return ""
    moved = f"accepted {accepted:.6g}, found {value:.6g}"
    if pd.isna(value) or pd.isna(accepted):
        return moved
    if not tolerance:
        return "no tolerance in the exhibit's spec"
    if "at_most" in tolerance:
        limit = tolerance["at_most"]
        return "" if value <= limit else f"found {value:.6g}, allowed at most {limit:g}"
    if "factor" in tolerance:
        limit = tolerance["factor"]
        ok = accepted > 0 and 1 / limit <= value / accepted <= limit
        ok |= abs(value - accepted) <= tolerance.get("absolute", 0)  # rounding has no factor
        return "" if ok else f"{moved}, allowed a factor of {limit:g}"
    allowed, far = _allowed(row, tolerance), abs(value - accepted)
    bound = f"allowed {allowed:.3g} ({', '.join(f'{kind} {limit:g}' for kind, limit in tolerance.items())})"
    return "" if far <= allowed + 1e-12 else f"{moved}: moved by {far:.3g}, {bound}"


def _allowed(row: Any, tolerance: Mapping[Allowance, float]) -> float:
    """The distance that a cell may move: the widest of its allowances. spread: shares of the accepted half-width."""
    accepted = abs(row["value_accepted"])
    spread = (row["high_accepted"] - row["low_accepted"]) / 2
    allowances = {"relative": accepted, "absolute": 1.0, "spread": spread if np.isfinite(spread) else 0.0}
    allowed = max(limit * allowances[kind] for kind, limit in tolerance.items())
    return max(allowed, 1e-3 * accepted) if "spread" in tolerance else allowed
