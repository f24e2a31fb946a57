"""Scatter charts of two measures of the same images, a third as colour, with the least-squares line: a panel a run."""

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.papers import Exhibit
from deqbench.papers.drawings import Scatter
from deqbench.report.blocks import number
from deqbench.report.canvas import Drawn
from deqbench.report.charts import GREY, RED, charts, grid

ACROSS = 4  # panels side by side, at most
WIDE = 26  # letters that fit above a panel


def draw_scatter(exhibit: Exhibit, drawing: Scatter, rows: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of `figure.svg`, drawn into the folder `out`.

    The drawing's `x`, `y` and `colour` are metrics, the spec's labels their words and the methods'; records also have
    the statistic `slope`, with its interval, where a line can be fitted.
    """
    points, labels = _points(rows, drawing), exhibit.spec.labels
    known = list(labels)
    panels = sorted(
        points[["dataset", "method"]].drop_duplicates().itertuples(index=False, name=None),
        key=lambda panel: (panel[0], known.index(panel[1]) if panel[1] in known else len(known), panel[1]),
    )
    if not panels:
        return points, [], ["No run of this scale is drawn here."]
    across = min(ACROSS, max(sum(name == dataset for dataset, _ in panels) for name, _ in panels))
    colours = points["colour"][np.isfinite(points["colour"])]
    limits = (float(colours.min()), float(colours.max())) if len(colours) else (0.0, 1.0)
    titles = [f"{dataset}\n{fill(labels.get(method, method), WIDE)}" for dataset, method in panels]
    x, y, colour = (labels.get(name, name) for name in (drawing.x, drawing.y, drawing.colour))
    with charts(out / "figure.svg", grid(len(panels), across), (2.9, 2.6), {}) as figure:
        for ax, place in zip(figure.panels(titles, x, y), panels, strict=True):
            shown = _panel(ax, points[points[["dataset", "method"]].eq(list(place)).all(axis=1)], limits)
        figure.figure.colorbar(shown, ax=figure.axes.ravel().tolist(), label=colour)
    words = "; ".join(f"{dataset}, {labels.get(method, method)}" for dataset, method in panels)
    files = [figure.entry("", f"Scatter charts of {y} over {x}: {words}.")]
    return points, files, [*_facts(rows, points, panels, labels), *drawing.facts]


def _points(rows: pd.DataFrame, drawing: Scatter) -> pd.DataFrame:
    """Rows dataset, method, image, x, y, colour: an image of a run."""
    wanted = {drawing.x: "x", drawing.y: "y", drawing.colour: "colour"}
    kept = rows[rows["metric"].isin(wanted) & rows["image"].notna()]
    wide = kept.pivot_table(index=["dataset", "method", "image"], columns="metric", values="value", dropna=False)
    wide = wide.reindex(columns=list(wanted)).rename(columns=wanted).reset_index()
    return wide.dropna(subset=["x", "y", "colour"], how="all")


def _panel(ax: Axes, points: pd.DataFrame, limits: tuple[float, float]) -> Any:
    """The points of a run, those that are finite, and the least-squares line through them."""
    finite = points[np.isfinite(points[["x", "y"]]).all(axis=1)]
    x, y = finite["x"].to_numpy(), finite["y"].to_numpy()
    style: Any = {"s": 18, "cmap": "viridis", "edgecolors": GREY, "linewidths": 0.4}
    shown = ax.scatter(x, y, c=finite["colour"], vmin=limits[0], vmax=limits[1], **style)
    if len(x) > 1 and np.ptp(x) > 0:
        slope, intercept = np.polyfit(x, y, 1)
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, intercept + slope * ends, color=RED, linewidth=1.4)
    if len(x) and x.min() < 0:
        ax.axvline(0, color="#9ca3af", linewidth=0.8, linestyle=":")
    ax.grid(True)
    return shown


def _facts(rows: pd.DataFrame, points: pd.DataFrame, panels: list[Any], labels: dict[str, str]) -> list[str]:
    """The slope of each line with its interval, and how many points are missing."""
    facts = []
    for dataset, method in panels:
        slopes = rows[(rows["dataset"] == dataset) & (rows["method"] == method) & (rows["metric"] == "slope")]
        here = points[(points["dataset"] == dataset) & (points["method"] == method)]
        lost = int((~np.isfinite(here[["x", "y"]]).all(axis=1)).sum())
        words = "no line can be fitted"
        for _, row in slopes.iloc[:1].iterrows():
            value, low, high = (number(row[name], ".2g") for name in ("value", "low", "high"))
            words = f"slope {value} [{low}, {high}], n = {int(row['n'])}"
        ending = f"; {lost} points are not finite." if lost else "."
        facts.append(f"{dataset}, {labels.get(method, method)}: {words}{ending}")
    return facts
