"""Charts of a quantity over rounds or updates: medians over images and their range, a line a T, method, rate or eta."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.canvas import nothing
from deqbench.report.charts import Look, charts, looks, span
from deqbench.report.sources import of_kind

ACROSS = 3  # charts side by side, where each has one facet
WIDE = 32  # letters that fit above a chart
WORDS = {"lr": "learning rate", "eta": "eta"}
DEFAULTS = {"panels": "dataset", "facet": "method", "labels": {}, "where": {}}


def draw_curves(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws one SVG file into the folder `out`, and what `draw` writes down about it.

    The spec's `panels` may be `problem`: data set and T together; its `facet` null: one chart a panel; its `where`
    keeps the records with those values, and where none has them nothing is drawn. UserError: no records of its `y`.
    """
    spec = {**DEFAULTS, **exhibit.spec}
    rows = _kept(read_records(of_kind(exhibit, records, ".parquet")), spec)
    spec["facet"] = spec["facet"] or "none"
    points = summarise(rows, spec)
    if points.empty and not spec["where"]:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records of {', '.join(spec['y'])}; found none")
    write_frame(out / "data.csv", points)
    if points.empty:
        return nothing("No run of this scale is drawn here.")
    panels = _panels(points, spec)
    shape = (max(row for row, *_ in panels) + 1, max(column for _, column, *_ in panels) + 1)
    found = _in_order(points[spec["lines"]].unique(), spec)
    lines = looks({value: _line(value, spec) for value in found}, spec, dashed=True)
    units = rows.drop_duplicates("metric").set_index("metric")["unit"]
    with charts(out / "figure.svg", shape, (2.9, 2.3), lines, sharex=True, sharey="row") as drawing:
        for row, column, dataset, facet, metric in panels:
            ax = drawing.axes[row, column]
            mine = points[[spec["panels"], spec["facet"], "metric"]].eq([dataset, facet, metric]).all(axis=1)
            _lines(ax, points[mine], spec, lines)
            ax.set_title(_title(dataset, facet, spec) if metric == panels[0][-1] else "", fontweight="bold")
            ax.set_ylabel(quantity(metric, str(units[metric]), spec) if column == 0 else "")
            ax.set_xlabel(quantity(spec["x"], "", spec) if row == shape[0] - 1 else "")
    facts = [*_facts(rows, points, spec), *spec.get("facts", ())]
    return {"files": [drawing.entry("", _alt(points, spec, lines))], "facts": facts}


def _title(dataset: Any, facet: Any, spec: dict[str, Any]) -> str:
    parts = [part for part in (str(dataset), _facet(facet, spec)) if part]
    return (" · " if sum(map(len, parts)) < WIDE else "\n").join(parts)


def _kept(rows: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """The rows that the spec's `where` asks for, with the columns that it makes of others."""
    for key, value in spec["where"].items():
        if key in rows:
            rows = rows[rows[key].isin(value if isinstance(value, list) else [value])]
    if spec["panels"] == "problem":
        rows = rows.assign(problem=rows["dataset"] + ", T = " + rows["T"].astype(str))
    return rows.assign(none="") if spec["facet"] is None else rows


def summarise(records: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """Median, smallest and largest value and n over images: one row a metric, data set, method, line and x.

    The spec's `facet` puts another key, such as eta, in the place of the method.
    """
    wanted = records[records["metric"].isin(spec["y"]) & np.isfinite(records["value"])]
    by = ["metric", spec.get("panels", "dataset"), spec.get("facet", "method"), spec["lines"], spec["x"]]
    by_point = wanted.groupby(list(dict.fromkeys(by)), sort=True)["value"]
    return by_point.agg(median="median", low="min", high="max", n="count").reset_index()


def _in_order(found: Any, spec: dict[str, Any]) -> list[Any]:
    """Values in the order of the spec's labels, then by their numbers: T = 20 before T = 100."""
    labels = list(spec["labels"])

    def place(value: Any) -> Any:
        parts = [float(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(value))]
        return labels.index(value) if value in labels else len(labels), parts if isinstance(value, str) else [value]

    return sorted(found, key=place)


def _panels(points: pd.DataFrame, spec: dict[str, Any]) -> list[tuple[int, int, Any, Any, str]]:
    """Row, column, data set, facet and metric of each small chart: side by side up to four, else a row a data set."""
    metrics = [metric for metric in spec["y"] if metric in set(points["metric"])]
    facets = _in_order(points[spec["facet"]].unique(), spec)
    pairs = list(product(_in_order(points[spec["panels"]].unique(), spec), facets))
    across = len(pairs) if len(pairs) <= 4 else ACROSS if len(facets) == 1 else len(facets)
    return [
        (at // across * len(metrics) + row, at % across, *pair, metric)
        for (row, metric), (at, pair) in product(enumerate(metrics), enumerate(pairs))
    ]


def _lines(ax: Axes, points: pd.DataFrame, spec: dict[str, Any], lines: dict[Any, Look]) -> None:
    """One line a value of the spec's `lines`; a value looks the same in every panel."""
    for value, look in lines.items():
        part = points[points[spec["lines"]] == value]
        if len(part):
            ax.plot(part[spec["x"]], part["median"], label=look.label, **look.style(len(part)))
            ax.fill_between(part[spec["x"]], part["low"], part["high"], color=look.colour, alpha=0.15, linewidth=0)
    if (points["median"] > 0).any():
        ax.set_yscale("log")  # a value of exactly 0 lies below the axis
    ax.grid(True, which="major")


def _line(value: Any, spec: dict[str, Any]) -> str:
    name = spec["lines"]
    return quantity(value, "", spec) if name == "method" else f"{WORDS.get(name, name)} = {value:g}"


def _facet(value: Any, spec: dict[str, Any]) -> str:
    if spec["facet"] in ("method", "none"):
        return quantity(value, "", spec)
    return f"{spec['facet']} = {value:g}"


def quantity(name: str, unit: str, spec: dict[str, Any]) -> str:
    """The label that the spec has for a metric, method or key, and its unit."""
    label = str(spec["labels"].get(name, name.replace("_", " ")))
    return label if unit in ("", "nan", "unitless", "1") else f"{label} ({unit})"


def _alt(points: pd.DataFrame, spec: dict[str, Any], lines: dict[Any, Look]) -> str:
    names = " and ".join(quantity(metric, "", spec) for metric in spec["y"])
    each = ", ".join(look.label if spec["lines"] == "method" else str(value) for value, look in lines.items())
    pairs = points[[spec["panels"], spec["facet"]]].drop_duplicates().itertuples(index=False, name=None)
    where = "; ".join(
        " with ".join(part for part in (dataset, _facet(facet, spec)) if part) for dataset, facet in pairs
    )
    over = quantity(spec["x"], "", spec)
    return f"Line charts of {names} over {over}, one line per {spec['lines']} ({each}): {where}."


def _facts(rows: pd.DataFrame, points: pd.DataFrame, spec: dict[str, Any]) -> list[str]:
    n = span(points["n"])
    facts = [f"Lines are medians, bands run from the smallest to the largest of n = {n} images at each point."]
    if (points["low"] <= 0).any():
        facts.append("Values of exactly 0 lie below the logarithmic axis.")
    lost = int((rows["metric"].isin(spec["y"]) & ~np.isfinite(rows["value"])).sum())
    if lost:
        facts.append(f"{lost} of the recorded values are not finite and are not drawn.")
    if "lr" in rows and "lr" not in (spec["lines"], spec["facet"]):
        facts += _rates(rows, spec)
    return facts


def _rates(rows: pd.DataFrame, spec: dict[str, Any]) -> list[str]:
    """The learning rate of each method that is drawn, with the T at which it is."""
    rates = rows.loc[rows["lr"].notna(), ["method", "lr", "T"]].drop_duplicates().sort_values(["method", "lr", "T"])
    by_method: dict[str, list[str]] = {}
    for method, part in rates.groupby("method", sort=True):
        for lr, lengths in part.groupby("lr", sort=True)["T"]:
            places = ", ".join(map(str, lengths))
            by_method.setdefault(quantity(str(method), "", spec), []).append(f"{lr:g} at T = {places}")
    words = "; ".join(f"{method} {', '.join(found)}" for method, found in by_method.items())
    return [f"Learning rates, chosen on other images: {words}."] if words else []
