"""Bars of means with their intervals, a method each: quantities below each other, data sets side by side."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.metrics.intervals import PERCENT, t_interval
from deqbench.papers import Exhibit
from deqbench.papers.drawings import Bars
from deqbench.papers.spec import Metric
from deqbench.report.canvas import Drawn
from deqbench.report.charts import Look, charts, looks, span
from deqbench.report.curves import quantity

ENDS = 0.12  # of the range of values, kept free above and below, where bars do not start at 0


def draw_bars(exhibit: Exhibit, drawing: Bars, records: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of `figure.svg`, drawn into the folder `out`; nothing where no record is of its `y`."""
    metrics = [metric for name in drawing.y if (metric := exhibit.spec.metric(name))]
    means = summarise(records, metrics, drawing.methods)
    if means.empty:
        return means, [], ["No run of this scale is drawn here."]
    labels = exhibit.spec.labels
    lines = looks(
        {name: labels.get(name, name) for name in drawing.methods if name in set(means["method"])}, ours=drawing.ours
    )
    datasets, drawn = list(dict.fromkeys(means["dataset"])), [m for m in metrics if m.id in set(means["metric"])]
    with charts(out / "figure.svg", (len(drawn), len(datasets)), (2.9, 1.9), lines, sharey="row") as figure:
        for row, metric in enumerate(drawn):
            for column, dataset in enumerate(datasets):
                ax = figure.axes[row, column]
                part = means[(means["metric"] == metric.id) & (means["dataset"] == dataset)].set_index("method")
                _bars(ax, part, lines)
                ax.set_title(dataset if row == 0 else "", fontweight="bold")
                ax.set_ylabel(quantity(metric.label, metric.unit, {}) if column == 0 else "")
            _limits(figure.axes[row, 0], means[means["metric"] == metric.id])
    names = ", ".join(metric.label for metric in drawn)
    each = ", ".join(look.label for look in lines.values())
    alt = f"Bars of {names} on {', '.join(map(str, datasets))}, one a method: {each}."
    counted = means.loc[means["n"] > 1, "n"]
    over = f"Bars are means over n = {span(counted)} {exhibit.spec.pairs}s, lines their {PERCENT} intervals."
    return means, [figure.entry("", alt)], [*([over] if len(counted) else []), *drawing.facts]


def summarise(records: pd.DataFrame, metrics: list[Metric], methods: tuple[str, ...]) -> pd.DataFrame:
    """Mean, interval and n of each data set, metric and method; values that are not finite are left out."""
    rows = []
    for metric in metrics:
        kept = records[(records["metric"] == (metric.of or metric.id)) & np.isfinite(records["value"])]
        for (dataset, method), part in kept.groupby(["dataset", "method"], sort=True):
            if method in methods:
                low, high = t_interval(part["value"])
                about = {"dataset": dataset, "metric": metric.id, "method": method}
                rows.append({**about, "mean": part["value"].mean(), "low": low, "high": high, "n": len(part)})
    return pd.DataFrame(rows, columns=["dataset", "metric", "method", "mean", "low", "high", "n"])


def _bars(ax: Axes, part: pd.DataFrame, lines: dict[str, Look]) -> None:
    for place, (name, look) in enumerate(lines.items()):
        if name in part.index:
            row = part.loc[name]
            ax.bar(place, row["mean"], color=look.colour, label=look.label, width=0.75)
            if np.isfinite(row["low"]):
                for colour, width in (("white", 3.0), ("#111827", 1.2)):  # seen on dark bars too
                    ax.plot([place, place], [row["low"], row["high"]], color=colour, linewidth=width)
    ax.set_xticks([])
    ax.grid(True, axis="y")
    ax.set_axisbelow(True)


def _limits(ax: Axes, part: pd.DataFrame) -> None:
    """Values that lie close together, far from 0, are shown on a part of the axis."""
    low = float(np.nanmin(part[["low", "mean"]].to_numpy()))
    high = float(np.nanmax(part[["high", "mean"]].to_numpy()))
    if low * high > 0 and high - low < 0.5 * max(abs(low), abs(high)):
        room = ENDS * (high - low or abs(high))
        ax.set_ylim(low - room, high + room)
