"""Histograms of a quantity: a panel a data set and method, an outline a value of a column."""

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deqbench.papers import Exhibit
from deqbench.papers.drawings import Histogram
from deqbench.report.blocks import number
from deqbench.report.canvas import Drawn
from deqbench.report.charts import Look, charts, grid, looks
from deqbench.report.curves import quantity

ACROSS = 4  # panels side by side, at most
WIDE = 26  # letters that fit above a panel
ALL = "all"


def draw_histogram(exhibit: Exhibit, drawing: Histogram, records: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of `figure.svg`, drawn into the folder `out`.

    All panels of a data set have the same bins, so that they can be compared; the outlines of a panel are shares of
    what the panel shows, whatever the numbers behind them.
    """
    labels = exhibit.spec.labels
    rows, lost = _values(records, drawing)
    counts = pd.concat([_counted(part, drawing.bins) for _, part in rows.groupby("dataset")] or [rows])
    panels = _panels(rows, labels)
    if not panels:
        return counts, [], ["No run of this scale is drawn here."]
    values = list(dict.fromkeys(rows["part"]))
    lines = looks({value: "all" if value == ALL else quantity(str(value), "", labels) for value in values}, dashed=True)
    titles = [f"{dataset}\n{fill(labels.get(method, method), WIDE)}" for dataset, method in panels]
    across = min(ACROSS, max(sum(name == dataset for dataset, _ in panels) for name, _ in panels))
    x = quantity(drawing.x, "", labels)
    with charts(out / "figure.svg", grid(len(panels), across), (2.9, 2.3), lines) as figure:
        for ax, place in zip(figure.panels(titles, x, "share"), panels, strict=True):
            _outlines(ax, counts[counts[["dataset", "method"]].eq(list(place)).all(axis=1)], lines)
    words = "; ".join(f"{dataset}, {labels.get(method, method)}" for dataset, method in panels)
    files = [figure.entry("", f"Histograms of {x}: {words}.")]
    return counts, files, [*_facts(rows, lost, panels, labels), *drawing.facts]


def _values(records: pd.DataFrame, drawing: Histogram) -> tuple[pd.DataFrame, int]:
    """Columns dataset, method, part, value: finite values of the metric, and how many are not finite."""
    rows = records[records["metric"] == drawing.x]
    rows = rows.assign(part=rows[drawing.by] if drawing.by else ALL)
    finite = np.isfinite(rows["value"].to_numpy(dtype=float))
    return rows.loc[finite, ["dataset", "method", "part", "value"]], int((~finite).sum())


def _counted(rows: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Rows dataset, method, part, left, right, share, n: the bins of one data set, and the share of values in each."""
    edges = np.histogram_bin_edges(rows["value"], bins=bins)
    made = []
    for keys, part in rows.groupby(["dataset", "method", "part"], sort=True):
        count = np.histogram(part["value"], bins=edges)[0]
        about = dict(zip(("dataset", "method", "part"), keys, strict=True))
        columns = {"left": edges[:-1], "right": edges[1:], "share": count / len(part), "n": len(part)}
        made.append(pd.DataFrame({**about, **columns}))
    return pd.concat(made, ignore_index=True)


def _panels(rows: pd.DataFrame, labels: dict[str, str]) -> list[tuple[str, str]]:
    known = list(labels)
    pairs = rows[["dataset", "method"]].drop_duplicates().itertuples(index=False, name=None)
    return sorted(pairs, key=lambda pair: (pair[0], known.index(pair[1]) if pair[1] in known else len(known), pair[1]))


def _outlines(ax: Axes, counts: pd.DataFrame, lines: dict[Any, Look]) -> None:
    """An outline a part, filled faintly."""
    for part, look in lines.items():
        mine = counts[counts["part"] == part]
        if len(mine):
            edges = [*mine["left"], mine["right"].iloc[-1]]
            ax.stairs(mine["share"], edges, fill=True, color=look.colour, alpha=0.2)
            ax.stairs(mine["share"], edges, color=look.colour, linewidth=look.width, linestyle=(0, look.dash or (1, 0)))
            ax.plot([], [], label=look.label)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.grid(True)


def _facts(rows: pd.DataFrame, lost: int, panels: list[tuple[str, str]], labels: dict[str, str]) -> list[str]:
    """Median and range of each outline, and how many values are not finite."""
    facts = []
    for dataset, method in panels:
        here = rows[(rows["dataset"] == dataset) & (rows["method"] == method)]
        for part, values in here.groupby("part", sort=True)["value"]:
            which = "" if part == ALL else f", {quantity(str(part), '', labels)}"
            middle, low, high = (number(float(v), ".3g") for v in (values.median(), values.min(), values.max()))
            words = f"median {middle}, from {low} to {high}, n = {len(values)}"
            facts.append(f"{dataset}, {labels.get(method, method)}{which}: {words}.")
    return [*facts, f"{lost} of the recorded values are not finite and are not drawn."] if lost else facts
