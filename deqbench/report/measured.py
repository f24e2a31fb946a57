"""One cell's value from its records: a statistic over images, or a comparison with the baseline image by image.

What a metric of a spec may say: `of` (the records' metric, else its id), `over` (divide by another metric of the same
image), `only` (columns and their value), `statistic`, `ratio_of`, `ratio_to`, `difference_to`, `lower_than` (against
the baseline), `same` (a metric, such as the budget, that must be equal where both have it), `reached` (a 0/1 metric:
whether a count of epochs is one, or the budget plus one), `left_out` (words for images that have no value, or none to
compare), `absent` (words for a cell that no record fills).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deqbench.metrics import intervals

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
COMPARED: dict[str, tuple[str, Callable[..., Any]]] = {  # of the method's and the baseline's values, image by image
    "ratio_of": ("geometric mean", lambda mine, base: base / mine),
    "ratio_to": ("geometric mean", lambda mine, base: mine / base),
    "difference_to": ("mean", lambda mine, base: mine - base),
    "lower_than": ("share", lambda mine, base: (mine < base).astype(float)),
}


def measured(metric: dict[str, Any], mine: pd.DataFrame, group: pd.DataFrame, baseline: str) -> dict[str, Any]:
    """value, low, high, n, statistic, note of one cell. mine: the method's records of a group of cells."""
    if kind := next((name for name in COMPARED if name in metric), None):
        return _compared(metric, kind, mine, group, baseline)
    rows = mine[mine["metric"] == metric.get("of", metric["id"])]
    for column, value in metric.get("only", {}).items():
        rows = rows[rows[column] == value]
    if "over" in metric:
        below = mine[mine["metric"] == metric["over"]].set_index("image")["value"]
        rows = rows[rows["image"].isin(below.index)]
        rows = rows.assign(value=rows["value"] / rows["image"].map(below))
    if "left_out" in metric:
        rows = rows[rows["value"].notna()]
    if rows.empty:
        return _nothing(metric.get("absent", "not measured for this method and T"))
    values = np.sort(rows["value"].to_numpy(dtype=float))  # sums must not depend on the order of records
    if not np.isfinite(values).all():
        return _not_finite(values)
    if "reached" in metric and not _flags(mine, metric["reached"]).any():
        return _nothing(f"reached by none of {len(values)} images within the budget")
    if "low" in rows and len(rows) == 1 and pd.notna(rows["n"].iloc[0]):
        row = rows.iloc[0]
        interval, statistic = (row["low"], row["high"]), metric.get("statistic", "mean")
        return _cell(row["value"], interval, int(row["n"]), statistic, _noted(rows))
    return _summed_up(values, metric.get("statistic", "mean"), _left_out(metric, mine, len(values)) or _noted(rows))


def _summed_up(values: NDArray[np.float64], statistic: str, note: str) -> dict[str, Any]:
    if statistic == "geometric mean" and not values.all():
        return _zeros(values)
    interval = INTERVALS[statistic](values) if statistic in INTERVALS else (np.nan, np.nan)
    name = "median" if statistic == "time" else statistic
    return _cell(VALUES[statistic](values), interval, len(values), name, note)


def _compared(
    metric: dict[str, Any], kind: str, mine: pd.DataFrame, group: pd.DataFrame, baseline: str
) -> dict[str, Any]:
    """The method against the baseline, image by image, where both have a value."""
    method = str(mine["method"].iloc[0])
    pairs = paired(group, metric[kind], method, baseline)
    if "same" in metric:
        budgets = paired(group, metric["same"], method, baseline)
        if len(differ := budgets[budgets["left"] != budgets["right"]]):
            left, right = (", ".join(f"{value:g}" for value in sorted(set(differ[side]))) for side in ("left", "right"))
            return _nothing(f"{metric['same']} differ: {left} against {right}")
    if method != baseline and "reached" in metric:
        pairs, why = _informative(pairs, paired(group, metric["reached"], method, baseline), "left_out" in metric)
        if why:
            return _nothing(why)
    if method == baseline or len(pairs) < 2:
        why = "the baseline itself" if method == baseline else "one image only"
        return _cell(np.nan, (np.nan, np.nan), len(pairs), "", why if len(pairs) else metric.get("absent", "not timed"))
    if kind in ("ratio_of", "ratio_to") and (pairs == 0).any(axis=None):
        return _zeros(pairs.min(axis=1).to_numpy(dtype=float))
    statistic, compare = COMPARED[kind]
    values = compare(pairs["left"], pairs["right"]).to_numpy(dtype=float)
    sums = values + pairs.to_numpy(dtype=float).sum(axis=1)  # a value over an infinite one would be 0
    if not np.isfinite(sums).all():
        return _not_finite(sums)
    return _summed_up(values, statistic, _left_out(metric, mine, len(values)))


def _informative(pairs: pd.DataFrame, reached: pd.DataFrame, leave_out: bool) -> tuple[pd.DataFrame, str]:
    """The pairs of counts that at least one method reached, or why there are none.

    A count that was not reached is a budget plus one: it says nothing against a larger count. Where there are such
    pairs, there is no answer, unless they are to be left out and are few.
    """
    mine, base = (reached.reindex(pairs.index)[side].astype(bool) for side in ("left", "right"))
    unknown = (~mine & base & (pairs["left"] < pairs["right"])) | (~base & mine & (pairs["right"] < pairs["left"]))
    if unknown.any() and not (leave_out and unknown.mean() < FEW):
        return pairs, f"budgets differ: unknown for {unknown.sum()} of {len(pairs)} images"
    if len(pairs) and not (mine | base).any():
        return pairs, f"reached by neither for any of {len(pairs)} images within the budget"
    return pairs[(mine | base) & ~unknown], ""


def paired(group: pd.DataFrame, metric: str, left: str, right: str) -> pd.DataFrame:
    """Columns left, right: two methods' values of a metric, image by image, where both have one."""
    if "image" not in group:
        return pd.DataFrame(columns=["left", "right"])
    rows = group[group["metric"] == metric].pivot_table(index="image", columns="method", values="value")
    if left not in rows or right not in rows:
        return pd.DataFrame(columns=["left", "right"])
    return pd.DataFrame({"left": rows[left], "right": rows[right]}).dropna()


def _flags(mine: pd.DataFrame, metric: str) -> NDArray[np.bool_]:
    return mine.loc[mine["metric"] == metric, "value"].to_numpy(dtype=float) > 0


def _left_out(metric: dict[str, Any], mine: pd.DataFrame, n: int) -> str:
    """A note on the images without a value, where the metric has words for them."""
    if "left_out" not in metric or "image" not in mine:
        return ""
    lost = mine["image"].nunique() - n
    return f"{lost} of {lost + n} images {metric['left_out']}" if lost > 0 else ""


def _noted(rows: pd.DataFrame) -> str:
    """The records' own notes."""
    return "; ".join(rows["note"].dropna().unique()) if "note" in rows else ""


def _nothing(note: str) -> dict[str, Any]:
    return _cell(np.nan, (np.nan, np.nan), 0, "", note)


def _not_finite(values: NDArray[np.float64]) -> dict[str, Any]:
    found = (~np.isfinite(values)).sum()
    return _cell(np.nan, (np.nan, np.nan), len(values), "", f"{found} of {len(values)} not finite")


def _zeros(values: NDArray[np.float64]) -> dict[str, Any]:
    return _nothing(f"exactly 0 for {(values == 0).sum()} of {len(values)} images")


def _cell(value: float, interval: tuple[float, float], n: int, statistic: str, note: str) -> dict[str, Any]:
    return {"value": value, "low": interval[0], "high": interval[1], "n": n, "statistic": statistic, "note": note}
