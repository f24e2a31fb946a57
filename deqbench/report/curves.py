"""Charts of a quantity over rounds or updates: medians over images and their range, a line a T, method, rate or eta."""

import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.papers.drawings import Curves
from deqbench.report.canvas import Drawn
from deqbench.report.charts import Look, charts, looks, span
from deqbench.report.measured import UNITS

ACROSS = 3  # charts side by side, where each has one facet
WIDE = 32  # letters that fit above a chart
WORDS = {"lr": "learning rate", "eta": "eta"}
NONE = "none"  # a column of one value, where a drawing has no facet
Labels = dict[str, str]


def draw_curves(exhibit: Exhibit, drawing: Curves, records: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of `figure.svg`, drawn into the folder `out`; nothing is drawn where no record passes
    `where`. UserError: no records of its `y`.
    """
    labels, drawing = exhibit.spec.labels, drawing.model_copy(update={"facet": drawing.facet or NONE})
    rows = _kept(records, drawing)
    points = summarise(rows, drawing)
    if points.empty and not drawing.where:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records of {', '.join(drawing.y)}; found none")
    if points.empty:
        return points, [], ["No run of this scale is drawn here."]
    panels = _panels(points, drawing, labels)
    shape = (max(row for row, *_ in panels) + 1, max(column for _, column, *_ in panels) + 1)
    values = _in_order(points[drawing.lines].unique(), labels)
    lines = looks({value: _valued(drawing.lines, value, labels) for value in values}, dashed=True)
    units = rows.drop_duplicates("metric").set_index("metric")["unit"]
    with charts(out / "figure.svg", shape, (2.9, 2.3), lines, sharex=True, sharey="row") as figure:
        for row, column, dataset, facet, metric in panels:
            ax = figure.axes[row, column]
            mine = points[[drawing.panels, drawing.facet, "metric"]].eq([dataset, facet, metric]).all(axis=1)
            _lines(ax, points[mine], drawing, lines)
            title = _title(dataset, _valued(drawing.facet, facet, labels)) if metric == panels[0][-1] else ""
            ax.set_title(title, fontweight="bold")
            ax.set_ylabel(quantity(metric, str(units[metric]), labels) if column == 0 else "")
            ax.set_xlabel(quantity(drawing.x, "", labels) if row == shape[0] - 1 else "")
    files = [figure.entry("", _alt(points, drawing, labels, lines))]
    return points, files, [*_facts(rows, points, drawing, exhibit), *drawing.facts]


def _title(dataset: Any, facet: str) -> str:
    parts = [part for part in (str(dataset), facet) if part]
    return (" · " if sum(map(len, parts)) < WIDE else "\n").join(parts)


def _kept(rows: pd.DataFrame, drawing: Curves) -> pd.DataFrame:
    """The rows that the drawing's `where` asks for, with the columns that it makes of others."""
    for key, value in drawing.where.items():
        if key in rows:
            rows = rows[rows[key].isin(value if isinstance(value, list) else [value])]
    if drawing.panels == "problem":
        rows = rows.assign(problem=rows["dataset"] + ", T = " + rows["T"].astype(str))
    return rows.assign(**{NONE: ""}) if drawing.facet == NONE else rows


def summarise(records: pd.DataFrame, drawing: Curves) -> pd.DataFrame:
    """Median, smallest and largest value and n over images: one row a metric, panel, facet, line and x."""
    wanted = records[records["metric"].isin(drawing.y) & np.isfinite(records["value"])]
    by = ["metric", drawing.panels, drawing.facet, drawing.lines, drawing.x]
    by_point = wanted.groupby(list(dict.fromkeys(by)), sort=True)["value"]
    return by_point.agg(median="median", low="min", high="max", n="count").reset_index()


def _in_order(values: Iterable[Any], labels: Labels) -> list[Any]:
    """Values in the order of the labels, then by their numbers: T = 20 before T = 100."""
    known = list(labels)

    def place(value: Any) -> Any:
        parts = [float(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(value))]
        return known.index(value) if value in known else len(known), parts if isinstance(value, str) else [value]

    return sorted(values, key=place)


def _panels(points: pd.DataFrame, drawing: Curves, labels: Labels) -> list[tuple[int, int, Any, Any, str]]:
    """Row, column, data set, facet and metric of each small chart: side by side up to four, else a row a data set."""
    metrics = [metric for metric in drawing.y if metric in set(points["metric"])]
    facets = _in_order(points[drawing.facet].unique(), labels)
    pairs = list(product(_in_order(points[drawing.panels].unique(), labels), facets))
    across = len(pairs) if len(pairs) <= 4 else ACROSS if len(facets) == 1 else len(facets)
    return [
        (at // across * len(metrics) + row, at % across, *pair, metric)
        for (row, metric), (at, pair) in product(enumerate(metrics), enumerate(pairs))
    ]


def _lines(ax: Axes, points: pd.DataFrame, drawing: Curves, lines: dict[Any, Look]) -> None:
    """Draws one line a value of the drawing's `lines`; a value looks the same in every panel."""
    for value, look in lines.items():
        part = points[points[drawing.lines] == value]
        if len(part):
            ax.plot(part[drawing.x], part["median"], label=look.label, **look.style(len(part)))
            ax.fill_between(part[drawing.x], part["low"], part["high"], color=look.colour, alpha=0.15, linewidth=0)
    if drawing.scale == "symlog":
        ax.set_yscale("symlog", linthresh=1.0)
    elif drawing.scale == "log" and (points["median"] > 0).any():
        ax.set_yscale("log")  # a value of exactly 0 lies below the axis
    ax.grid(True, which="major")


def _valued(key: str | None, value: Any, labels: Labels) -> str:
    """A line's or a facet's label: a method's name, or T = 20."""
    return quantity(value, "", labels) if key in ("method", NONE) else f"{WORDS.get(str(key), key)} = {value:g}"


def quantity(name: str, unit: str, labels: Labels) -> str:
    """The label of a metric, method or key, and its unit."""
    label = labels.get(name, name.replace("_", " "))
    return label if unit in ("", "nan", "unitless", "1") else f"{label} ({unit})"


def _alt(points: pd.DataFrame, drawing: Curves, labels: Labels, lines: dict[Any, Look]) -> str:
    names = " and ".join(quantity(metric, "", labels) for metric in drawing.y)
    each = ", ".join(look.label if drawing.lines == "method" else str(value) for value, look in lines.items())
    pairs = points[[drawing.panels, drawing.facet]].drop_duplicates().itertuples(index=False, name=None)
    where = "; ".join(
        " with ".join(filter(None, (dataset, _valued(drawing.facet, facet, labels)))) for dataset, facet in pairs
    )
    over = quantity(drawing.x, "", labels)
    return f"Line charts of {names} over {over}, one line per {drawing.lines} ({each}): {where}."


def _facts(rows: pd.DataFrame, points: pd.DataFrame, drawing: Curves, exhibit: Exhibit) -> list[str]:
    n, unit = span(points["n"]), UNITS.get(exhibit.spec.pairs, exhibit.spec.pairs)
    facts = [f"Lines are medians, bands run from the smallest to the largest of n = {n} {unit}s at each point."]
    if drawing.scale == "log" and (points["low"] <= 0).any():
        facts.append("Values of exactly 0 lie below the logarithmic axis.")
    if drawing.scale == "symlog":
        facts.append("The axis is linear from \N{MINUS SIGN}1 to 1 and logarithmic beyond.")
    lost = int((rows["metric"].isin(drawing.y) & ~np.isfinite(rows["value"])).sum())
    if lost:
        facts.append(f"{lost} of the recorded values are not finite and are not drawn.")
    if "lr" in rows and "lr" not in (drawing.lines, drawing.facet):
        facts += _rates(rows, exhibit.spec.labels)
    return facts


def _rates(rows: pd.DataFrame, labels: Labels) -> list[str]:
    """The learning rate of each method that is drawn, with the T at which it is."""
    rates = rows.loc[rows["lr"].notna(), ["method", "lr", "T"]].drop_duplicates().sort_values(["method", "lr", "T"])
    by_method: dict[str, list[str]] = {}
    for (method, lr), lengths in rates.groupby(["method", "lr"], sort=True)["T"]:
        words = f"{lr:g} at T = {', '.join(map(str, lengths))}"
        by_method.setdefault(quantity(str(method), "", labels), []).append(words)
    words = "; ".join(f"{method} {', '.join(each)}" for method, each in by_method.items())
    return [f"Learning rates, chosen on other images: {words}."] if words else []
