"""Tables as cells: which records fill which cell, which printed value stands beside it. A pure function of records."""

from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deqbench import papers
from deqbench.config import Config
from deqbench.errors import UserError
from deqbench.metrics import intervals
from deqbench.papers import Exhibit

COLUMNS = (
    "paper exhibit dataset stands_in_for T method method_label metric metric_label unit direction value low high n"
    " statistic printed printed_row relation format kind note"
).split()
INTERVALS = {
    "mean": intervals.t_interval,
    "median": intervals.median_interval,
    "time": intervals.log_interval,
    "share": lambda values: intervals.wilson(int(values.sum()), len(values)),
}


def cells(exhibit: Exhibit, records: pd.DataFrame, config: Config) -> pd.DataFrame:
    """One row a cell (COLUMNS) of an exhibit whose spec names its records, in the order of groups and methods.

    A cell that no record fills has value NaN and a note saying why. UserError: the exhibit has no spec, or no records.
    """
    spec = exhibit.spec
    if not spec.get("metrics"):
        raise UserError(
            f"{exhibit.paper}/{exhibit.id}: expected a spec with metrics in {exhibit.kind}s.yaml; found none"
        )
    if records.empty:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records of {spec['experiment']}; found none")
    baseline = config.papers.deq_ddim.table_1.baseline
    rows = []
    for key, group in records.groupby(["dataset", "T"], sort=False):
        dataset, T = cast(tuple[str, int], key)
        printed_row, relation = _printed_row(config, str(dataset))
        for method in _in_order(group["method"].unique(), config):
            mine = group[group["method"] == method]
            for metric in spec["metrics"]:
                rows.append(
                    {
                        "paper": exhibit.paper,
                        "exhibit": exhibit.id,
                        "dataset": dataset,
                        "stands_in_for": printed_row if relation == "stand-in" else "",
                        "T": int(T),
                        "method": method,
                        "method_label": spec.get("labels", {}).get(method, method),
                        "metric": metric["id"],
                        "metric_label": metric["label"],
                        "unit": metric.get("unit", ""),
                        "direction": metric.get("direction", ""),
                        "format": metric.get("format", ".3g"),
                        "kind": "measured",
                        **_measured(metric, mine, group, baseline),
                        **_printed(exhibit, metric, (method, baseline), printed_row, relation),
                    }
                )
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {name: place for place, name in enumerate(config.datasets)}
    found["place"] = found["dataset"].map(order)
    return found.sort_values(["place", "T"], kind="stable").drop(columns="place").reset_index(drop=True)


def _in_order(methods: Any, config: Config) -> list[str]:
    known = list(config.papers.deq_ddim.methods)
    return sorted(methods, key=lambda name: (known.index(name) if name in known else len(known), name))


def _printed_row(config: Config, dataset: str) -> tuple[str, str]:
    section = config.datasets[dataset]
    if section.printed_as:
        return section.printed_as, "same"
    return (section.stands_in_for, "stand-in") if section.stands_in_for else ("", "")


def _measured(metric: dict[str, Any], mine: pd.DataFrame, group: pd.DataFrame, baseline: str) -> dict[str, Any]:
    """value, low, high, n, statistic, note of one cell."""
    if "ratio_of" in metric:
        return _ratio(metric, mine, group, baseline)
    rows = mine[mine["metric"] == metric["id"]]
    if rows.empty:
        return _cell(np.nan, (np.nan, np.nan), 0, "", metric.get("absent", "not measured for this method and T"))
    values = np.sort(rows["value"].to_numpy(dtype=float))  # sums must not depend on the order of records
    if not np.isfinite(values).all():
        return _not_finite(values)
    if "low" in rows and len(rows) == 1 and pd.notna(rows["n"].iloc[0]):
        row = rows.iloc[0]
        note = row["note"] if isinstance(row.get("note"), str) else ""
        return _cell(row["value"], (row["low"], row["high"]), int(row["n"]), metric.get("statistic", "mean"), note)
    statistic = metric.get("statistic", "mean")
    value = np.mean(values) if statistic in ("mean", "share") else np.median(values)
    return _cell(value, INTERVALS[statistic](values), len(values), "median" if statistic == "time" else statistic, "")


def _ratio(metric: dict[str, Any], mine: pd.DataFrame, group: pd.DataFrame, baseline: str) -> dict[str, Any]:
    """The baseline's value over the method's, image by image, as a geometric mean."""
    method = str(mine["method"].iloc[0])
    pairs = paired(group, metric["ratio_of"], baseline, method)
    if method == baseline or len(pairs) < 2:
        several = "the baseline itself" if method == baseline else "timed on one image only"
        return _cell(np.nan, (np.nan, np.nan), len(pairs), "", several if len(pairs) else "not timed")
    ratios = (pairs["left"] / pairs["right"]).to_numpy(dtype=float)
    if not np.isfinite(ratios).all():
        return _not_finite(ratios)
    return _cell(np.exp(np.log(ratios).mean()), intervals.log_interval(ratios), len(pairs), "geometric mean", "")


def _not_finite(values: NDArray[np.float64]) -> dict[str, Any]:
    found = (~np.isfinite(values)).sum()
    return _cell(np.nan, (np.nan, np.nan), len(values), "", f"{found} of {len(values)} not finite")


def paired(group: pd.DataFrame, metric: str, left: str, right: str) -> pd.DataFrame:
    """Columns left, right: two methods' values of a metric, image by image, where both have one."""
    if "image" not in group:
        return pd.DataFrame(columns=["left", "right"])
    rows = group[group["metric"] == metric].pivot_table(index="image", columns="method", values="value")
    if left not in rows or right not in rows:
        return pd.DataFrame(columns=["left", "right"])
    return pd.DataFrame({"left": rows[left], "right": rows[right]}).dropna()


def _cell(value: float, interval: tuple[float, float], n: int, statistic: str, note: str) -> dict[str, Any]:
    return {"value": value, "low": interval[0], "high": interval[1], "n": n, "statistic": statistic, "note": note}


def _printed(
    exhibit: Exhibit, metric: dict[str, Any], methods: tuple[str, str], row: str, relation: str
) -> dict[str, str]:
    """printed, printed_row, relation: the printed value of this cell, or of the baseline over it for a ratio.

    methods: the cell's and the baseline.
    """
    nothing = {"printed": "", "printed_row": "", "relation": ""}
    name, base = (exhibit.spec.get("printed_methods", {}).get(method) for method in methods)
    if not row or not name or "printed" not in metric:
        return nothing
    table = papers.printed(exhibit)
    rows = table[(table["row"] == row) & (table["metric"] == metric["printed"])].set_index("method")
    values = rows["value"]
    if name not in values:
        return nothing
    found = {"printed": values[name], "printed_row": _row_words(rows.loc[name], row), "relation": relation}
    if "ratio_of" in metric:
        found["printed"] = "" if base in (None, name) else f"{float(values[base]) / float(values[name]):.2f}"
    return found if found["printed"] else nothing


def _row_words(printed: pd.Series, row: str) -> str:
    """The printed row with the chain length it was printed for: a stand-in is mostly measured at another."""
    return f"{row}, T={printed['T']}" if printed.get("T") and "T=" not in row else row
