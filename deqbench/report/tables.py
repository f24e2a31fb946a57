"""Tables as cells: which records fill which cell, which printed value stands beside it. A pure function of records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    "geometric mean": intervals.log_interval,
    "mean": intervals.t_interval,
    "median": intervals.median_interval,
    "time": intervals.log_interval,
    "share": lambda values: intervals.wilson(int(values.sum()), len(values)),
}
VALUES: dict[str, Callable[..., Any]] = {
    "geometric mean": lambda values: np.exp(np.log(values).mean()),
    "mean": np.mean,
    "share": np.mean,
    "median": np.median,
    "time": np.median,
    "95 % quantile": lambda values: np.quantile(values, 0.95, method="higher"),
    "worst": np.max,
}


def cells(exhibit: Exhibit, records: pd.DataFrame, config: Config) -> pd.DataFrame:
    """One row a cell of an exhibit whose spec names its records, in the order of groups and methods.

    Columns: COLUMNS, and further keys of a group where the spec's `group` names more than data set and T. A cell that
    no record fills has value NaN and a note saying why. UserError: the exhibit has no spec, or no records.
    """
    spec = exhibit.spec
    if not spec.get("metrics"):
        raise UserError(
            f"{exhibit.paper}/{exhibit.id}: expected a spec with metrics in {exhibit.kind}s.yaml; found none"
        )
    section = config.papers.deq_ddim.experiment(spec["experiment"])
    if records.empty:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records of {spec['experiment']}; found none")
    baseline = str(spec.get("baseline") or getattr(section, "baseline", config.papers.deq_ddim.table_1.baseline))
    by = spec.get("group", ["dataset", "T"])
    rows = []
    for key, group in records.groupby(by, sort=False):
        keys = dict(zip(by, key, strict=True))
        printed = _Printed.of(exhibit, config, keys)
        for method in _in_order(group["method"].unique(), config):
            mine = group[group["method"] == method]
            for metric in spec["metrics"]:
                rows.append(
                    {
                        "paper": exhibit.paper,
                        "exhibit": exhibit.id,
                        **keys,
                        "stands_in_for": printed.dataset if printed.relation == "stand-in" else "",
                        "method": method,
                        "method_label": spec.get("labels", {}).get(method, method),
                        "metric": metric["id"],
                        "metric_label": metric["label"],
                        "unit": metric.get("unit", ""),
                        "direction": metric.get("direction", ""),
                        "format": metric.get("format", ".3g"),
                        "kind": "measured",
                        **_measured(metric, mine, group, baseline),
                        **printed.cell(exhibit, metric, method, baseline),
                    }
                )
    at = COLUMNS.index("method")
    found = pd.DataFrame(rows, columns=[*COLUMNS[:at], *(key for key in by if key not in COLUMNS), *COLUMNS[at:]])
    order = {name: place for place, name in enumerate(config.datasets)}
    found["place"] = found["dataset"].map(order)
    return found.sort_values(["place", *by[1:]], kind="stable").drop(columns="place").reset_index(drop=True)


def _in_order(methods: Any, config: Config) -> list[str]:
    known = list(config.papers.deq_ddim.methods)
    return sorted(methods, key=lambda name: (known.index(name) if name in known else len(known), name))


def _measured(metric: dict[str, Any], mine: pd.DataFrame, group: pd.DataFrame, baseline: str) -> dict[str, Any]:
    """value, low, high, n, statistic, note of one cell."""
    if {"ratio_of", "ratio_to"} & metric.keys():
        return _ratio(metric, mine, group, baseline)
    rows = mine[mine["metric"] == metric.get("of", metric["id"])]
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
    if statistic == "geometric mean" and not values.all():
        return _zeros(values)
    interval = INTERVALS[statistic](values) if statistic in INTERVALS else (np.nan, np.nan)
    name = "median" if statistic == "time" else statistic
    return _cell(VALUES[statistic](values), interval, len(values), name, "")


def _ratio(metric: dict[str, Any], mine: pd.DataFrame, group: pd.DataFrame, baseline: str) -> dict[str, Any]:
    """The baseline's value over the method's (`ratio_of`), or the other way (`ratio_to`), image by image, as a
    geometric mean.
    """
    method = str(mine["method"].iloc[0])
    names = (baseline, method) if "ratio_of" in metric else (method, baseline)
    pairs = paired(group, metric.get("ratio_of") or metric["ratio_to"], *names)
    if method == baseline or len(pairs) < 2:
        several = "the baseline itself" if method == baseline else "timed on one image only"
        return _cell(np.nan, (np.nan, np.nan), len(pairs), "", several if len(pairs) else "not timed")
    ratios = (pairs["left"] / pairs["right"]).to_numpy(dtype=float)
    if not np.isfinite(ratios).all():
        return _not_finite(ratios)
    if not ratios.all():
        return _zeros(ratios)
    return _cell(np.exp(np.log(ratios).mean()), intervals.log_interval(ratios), len(pairs), "geometric mean", "")


def _not_finite(values: NDArray[np.float64]) -> dict[str, Any]:
    found = (~np.isfinite(values)).sum()
    return _cell(np.nan, (np.nan, np.nan), len(values), "", f"{found} of {len(values)} not finite")


def _zeros(values: NDArray[np.float64]) -> dict[str, Any]:
    note = f"exactly 0 for {(values == 0).sum()} of {len(values)} images"
    return _cell(np.nan, (np.nan, np.nan), 0, "", note)


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


@dataclass(frozen=True)
class _Printed:
    """What the paper prints for a group of cells."""

    dataset: str  # printed data set; empty where the group has none
    relation: str  # same, stand-in, or empty
    rows: dict[str, str]  # the printed row by method; "" stands for all other methods

    @classmethod
    def of(cls, exhibit: Exhibit, config: Config, keys: dict[str, Any]) -> "_Printed":
        """keys: of the group. The spec's `printed_rows` are patterns of its keys; rows are data sets without them."""
        section, patterns = config.datasets.get(keys["dataset"]), exhibit.spec.get("printed_rows")
        if section is None:  # an analytic chain
            return cls("", "", {})
        own = section.printed_as or section.stands_in_for or ""
        if not patterns:
            return cls(own, ("same" if section.printed_as else "stand-in") if own else "", {"": own})
        (dataset,) = papers.printed(exhibit)["dataset"].unique()
        texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in keys.items()}
        rows = {method: pattern.format(**texts) for method, pattern in patterns.items()}
        return cls(dataset, "same" if section.printed_as == dataset else "stand-in", rows)

    def cell(self, exhibit: Exhibit, metric: dict[str, Any], method: str, baseline: str) -> dict[str, str]:
        """printed, printed_row, relation: the printed value of a cell, or of the baseline over it for a ratio."""
        nothing = {"printed": "", "printed_row": "", "relation": ""}
        name, base = (exhibit.spec.get("printed_methods", {}).get(found) for found in (method, baseline))
        row = self.rows.get(method) or self.rows.get("")
        if not row or not name or "printed" not in metric:
            return nothing
        table = papers.printed(exhibit)
        rows = table[(table["row"] == row) & (table["metric"] == metric["printed"])].set_index("method")
        values = rows["value"]
        if name not in values:
            return nothing
        found = {"printed": values[name], "printed_row": _row_words(rows.loc[name], row), "relation": self.relation}
        if "ratio_of" in metric:
            known = base not in (None, name) and base in values
            found["printed"] = f"{float(values[base]) / float(values[name]):.2f}" if known else ""
        return found if found["printed"] else nothing


def _row_words(printed: pd.Series, row: str) -> str:
    """The printed row with the chain length it was printed for, a stand-in's being mostly another, and its source."""
    words = f"{row}, T={printed['T']}" if printed.get("T") and "T=" not in row else row
    return f"{words}, quoted" if "quoted" in printed.get("note", "") else words
