"""One cell's value from its records: a statistic over images, or a comparison with the baseline image by image.

Images stand for whatever the exhibit's spec names as `pairs`: splits, seeds, tasks or data rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deqbench.metrics import intervals
from deqbench.papers.spec import Metric, Unit

INTERVALS = {
    "geometric mean": intervals.log_interval,
    "mean": intervals.t_interval,
    "median": intervals.median_interval,
    "time": intervals.log_interval,
    "share": lambda values: intervals.wilson(int(values.sum()), len(values)),
    "exact": lambda values: (values.min(), values.max()),  # of counts that come out the same every time
}
VALUES: dict[str, Callable[..., Any]] = {
    "geometric mean": lambda values: np.exp(np.log(values).mean()),
    "mean": np.mean,
    "share": np.mean,
    "exact": np.mean,
    "median": np.median,
    "time": np.median,
    "95 % quantile": lambda values: np.quantile(values, 0.95, method="higher"),
    "worst": np.max,
    "standard deviation": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
}
FEW = 0.2  # share of images
UNITS: dict[Unit, str] = {"row": "data row"}  # where the word is not the column's name
COMPARED: dict[str, tuple[str, Callable[..., Any]]] = {  # of the method's and the baseline's values, image by image
    "ratio_of": ("geometric mean", lambda mine, base: base / mine),
    "ratio_to": ("geometric mean", lambda mine, base: mine / base),
    "difference_to": ("mean", lambda mine, base: mine - base),
    "lower_than": ("share", lambda mine, base: (mine < base).astype(float)),
}


def measured(
    metric: Metric, mine: pd.DataFrame, group: pd.DataFrame, baseline: str, pairs: Unit = "image"
) -> dict[str, Any]:
    """value, low, high, n, statistic, note of one cell. mine: the method's records of a group of cells."""
    if metric.comparisons:
        return _compared(metric, mine, group, baseline, pairs)
    rows = mine[mine["metric"] == (metric.of or metric.id)]
    for column, value in metric.only.items():
        rows = rows[rows[column] == value]
    if metric.over is not None:
        below = mine[mine["metric"] == metric.over].set_index(pairs)["value"]
        rows = rows[rows[pairs].isin(below.index)]
        rows = rows.assign(value=rows["value"] / rows[pairs].map(below))
    if metric.left_out is not None:
        rows = rows[rows["value"].notna()]
    if rows.empty:
        return _nothing(metric.absent or "not measured for this method and T")
    values = np.sort(rows["value"].to_numpy(dtype=float))  # sums must not depend on the order of records
    if not np.isfinite(values).all():
        return _not_finite(values)
    if metric.reached is not None and not (mine.loc[mine["metric"] == metric.reached, "value"] > 0).any():
        return _nothing(f"reached by none of {_several(len(values), pairs)} within the budget")
    if "low" in rows and len(rows) == 1 and pd.notna(rows["n"].iloc[0]):
        row = rows.iloc[0]
        return _cell(row["value"], (row["low"], row["high"]), int(row["n"]), metric.statistic, _noted(rows))
    note = _left_out(metric, mine, len(values), pairs) or _noted(rows)
    return _summed_up(values, metric.statistic, note, pairs)


def _summed_up(values: NDArray[np.float64], statistic: str, note: str, pairs: Unit) -> dict[str, Any]:
    if statistic == "geometric mean" and not values.all():
        return _zeros(values, pairs)
    interval = INTERVALS[statistic](values) if statistic in INTERVALS else (np.nan, np.nan)
    name = "median" if statistic == "time" else statistic
    return _cell(VALUES[statistic](values), interval, len(values), name, note)


def _compared(metric: Metric, mine: pd.DataFrame, group: pd.DataFrame, baseline: str, unit: Unit) -> dict[str, Any]:
    """The method against the baseline, image by image, where both have a value."""
    (kind,), method = metric.comparisons, str(mine["method"].iloc[0])

    def both(name: str) -> pd.DataFrame:
        return paired(group, name, method, baseline, unit)

    pairs = both(getattr(metric, kind))
    if metric.same is not None:
        budgets = both(metric.same)
        if len(differ := budgets[budgets["left"] != budgets["right"]]):
            left, right = (", ".join(f"{value:g}" for value in sorted(set(differ[side]))) for side in ("left", "right"))
            return _nothing(f"{metric.same} differ: {left} against {right}")
    if method != baseline and metric.reached is not None:
        pairs, why = _informative(pairs, both(metric.reached), metric.left_out is not None, unit)
        if why:
            return _nothing(why)
    if method == baseline or len(pairs) < 2:
        why = "the baseline itself" if method == baseline else f"one {UNITS.get(unit, unit)} only"
        return _cell(np.nan, (np.nan, np.nan), len(pairs), "", why if len(pairs) else metric.absent or "not timed")
    if kind in ("ratio_of", "ratio_to") and (pairs == 0).any(axis=None):
        return _zeros(pairs.min(axis=1).to_numpy(dtype=float), unit)
    statistic, compare = COMPARED[kind]
    values = compare(pairs["left"], pairs["right"]).to_numpy(dtype=float)
    sums = values + pairs.to_numpy(dtype=float).sum(axis=1)  # a value over an infinite one would be 0
    if not np.isfinite(sums).all():
        return _not_finite(sums)
    return _summed_up(values, statistic, _left_out(metric, mine, len(values), unit), unit)


def _informative(pairs: pd.DataFrame, reached: pd.DataFrame, leave_out: bool, unit: Unit) -> tuple[pd.DataFrame, str]:
    """The pairs of counts that at least one method reached, or why there are none.

    A count that was not reached is a budget plus one: it says nothing against a larger count. Where there are such
    pairs, there is no answer, unless they are to be left out and are few.
    """
    mine, base = (reached.reindex(pairs.index)[side].astype(bool) for side in ("left", "right"))
    unknown = (~mine & base & (pairs["left"] < pairs["right"])) | (~base & mine & (pairs["right"] < pairs["left"]))
    if unknown.any() and not (leave_out and unknown.mean() < FEW):
        return pairs, f"budgets differ: unknown for {unknown.sum()} of {_several(len(pairs), unit)}"
    if len(pairs) and not (mine | base).any():
        return pairs, f"reached by neither for any of {_several(len(pairs), unit)} within the budget"
    return pairs[(mine | base) & ~unknown], ""


def paired(group: pd.DataFrame, metric: str, left: str, right: str, unit: Unit = "image") -> pd.DataFrame:
    """Columns left, right: two methods' values of a metric, image by image, where both have one."""
    if unit not in group:
        return pd.DataFrame(columns=["left", "right"])
    rows = group[group["metric"] == metric].pivot_table(index=unit, columns="method", values="value")
    if left not in rows or right not in rows:
        return pd.DataFrame(columns=["left", "right"])
    return pd.DataFrame({"left": rows[left], "right": rows[right]}).dropna()


def _left_out(metric: Metric, mine: pd.DataFrame, n: int, unit: Unit) -> str:
    """A note on the images without a value, where the metric has words for them."""
    if metric.left_out is None or unit not in mine:
        return ""
    lost = mine[unit].nunique() - n
    return f"{lost} of {_several(lost + n, unit)} {metric.left_out}" if lost > 0 else ""


def _several(n: int, unit: Unit) -> str:
    return f"{n} {UNITS.get(unit, unit)}s"


def _noted(rows: pd.DataFrame) -> str:
    """The records' own notes."""
    return "; ".join(rows["note"].dropna().unique()) if "note" in rows else ""


def _nothing(note: str) -> dict[str, Any]:
    return _cell(np.nan, (np.nan, np.nan), 0, "", note)


def _not_finite(values: NDArray[np.float64]) -> dict[str, Any]:
    lost = (~np.isfinite(values)).sum()
    return _cell(np.nan, (np.nan, np.nan), len(values), "", f"{lost} of {len(values)} not finite")


def _zeros(values: NDArray[np.float64], unit: Unit) -> dict[str, Any]:
    return _nothing(f"exactly 0 for {(values == 0).sum()} of {_several(len(values), unit)}")


def _cell(value: float, interval: tuple[float, float], n: int, statistic: str, note: str) -> dict[str, Any]:
    return {"value": value, "low": interval[0], "high": interval[1], "n": n, "statistic": statistic, "note": note}
