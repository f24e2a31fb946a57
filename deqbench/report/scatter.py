"""Scatter charts of two measures of the same images, a third as colour, with the least-squares line: a panel a run."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.blocks import number
from deqbench.report.canvas import canvas, pixels
from deqbench.report.sources import of_kind

RED = "#b91c1c"
ACROSS = 4  # panels side by side, at most
WIDE = 26  # letters that fit above a panel


def draw_scatter(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws `figure.svg` into the folder `out`, and what `draw` writes down about it.

    The spec's `x`, `y` and `colour` are metrics, `labels` their words and the methods'; records also have the statistic
    `slope`, with its interval, where a line can be fitted. UserError: no records.
    """
    spec, rows = exhibit.spec, read_records(of_kind(exhibit, records, ".parquet"))
    points = _points(rows, spec)
    write_frame(out / "data.csv", points)
    known = list(spec["labels"])
    panels = sorted(
        points[["dataset", "method"]].drop_duplicates().itertuples(index=False, name=None),
        key=lambda panel: (panel[0], known.index(panel[1]) if panel[1] in known else len(known), panel[1]),
    )
    if not panels:
        return {"files": [], "facts": ["No run of this scale is drawn here."]}
    across = min(ACROSS, max(sum(name == dataset for dataset, _ in panels) for name, _ in panels))
    shape = (-(-len(panels) // across), across)
    size = (max(5.0, 2.7 * across + 0.8), 2.6 * shape[0] + 0.3)
    colours = points["colour"][np.isfinite(points["colour"])]
    limits = (float(colours.min()), float(colours.max())) if len(colours) else (0.0, 1.0)
    with canvas(out / "figure.svg", shape, size) as (figure, grid):
        for ax, (dataset, method) in zip(grid.flat, panels, strict=False):
            mine = points[(points["dataset"] == dataset) & (points["method"] == method)]
            shown = _panel(ax, mine, limits)
            ax.set_title(f"{dataset}\n{fill(spec['labels'].get(method, method), WIDE)}", fontweight="bold")
            ax.set_xlabel(spec["labels"].get(spec["x"], spec["x"]))
        for ax in grid.flat[len(panels) :]:
            ax.set_axis_off()
        for ax in grid[:, 0]:
            ax.set_ylabel(spec["labels"].get(spec["y"], spec["y"]))
        figure.colorbar(shown, ax=grid.ravel().tolist(), label=spec["labels"].get(spec["colour"], spec["colour"]))
    words = [f"{dataset}, {spec['labels'].get(method, method)}" for dataset, method in panels]
    alt = f"Scatter charts of {spec['labels'][spec['y']]} over {spec['labels'][spec['x']]}: {'; '.join(words)}."
    about = {"file": "figure.svg", "title": "", "alt": alt, "width": pixels(size)}
    return {"files": [about], "facts": [*_facts(rows, points, panels, spec), *spec.get("facts", ())]}


def _points(rows: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """Rows dataset, method, image, x, y, colour: an image of a run."""
    wanted = {spec["x"]: "x", spec["y"]: "y", spec["colour"]: "colour"}
    kept = rows[rows["metric"].isin(wanted) & rows["image"].notna()]
    wide = kept.pivot_table(index=["dataset", "method", "image"], columns="metric", values="value", dropna=False)
    wide = wide.reindex(columns=list(wanted)).rename(columns=wanted).reset_index()
    return wide.dropna(subset=["x", "y", "colour"], how="all")


def _panel(ax: Axes, points: pd.DataFrame, limits: tuple[float, float]) -> Any:
    """The points of a run, those that are finite, and the least-squares line through them."""
    finite = points[np.isfinite(points[["x", "y"]]).all(axis=1)]
    x, y = finite["x"].to_numpy(), finite["y"].to_numpy()
    style: Any = {"s": 18, "cmap": "viridis", "edgecolors": "#6b7280", "linewidths": 0.4}
    shown = ax.scatter(x, y, c=finite["colour"], vmin=limits[0], vmax=limits[1], **style)
    if len(x) > 1 and np.ptp(x) > 0:
        slope, intercept = np.polyfit(x, y, 1)
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, intercept + slope * ends, color=RED, linewidth=1.4)
    if len(x) and x.min() < 0:
        ax.axvline(0, color="#9ca3af", linewidth=0.8, linestyle=":")
    ax.grid(True)
    return shown


def _facts(rows: pd.DataFrame, points: pd.DataFrame, panels: list[Any], spec: dict[str, Any]) -> list[str]:
    """The slope of each line with its interval, and how many points are missing."""
    facts = []
    for dataset, method in panels:
        mine = rows[(rows["dataset"] == dataset) & (rows["method"] == method) & (rows["metric"] == "slope")]
        here = points[(points["dataset"] == dataset) & (points["method"] == method)]
        lost = int((~np.isfinite(here[["x", "y"]]).all(axis=1)).sum())
        text = f"{dataset}, {spec['labels'].get(method, method)}: "
        if mine.empty:
            text += "no line can be fitted"
        else:
            found = mine.iloc[0]
            ends = f"{number(found['low'], '.2g')}, {number(found['high'], '.2g')}"
            text += f"slope {number(found['value'], '.2g')} [{ends}], n = {int(found['n'])}"
        facts.append(text + (f"; {lost} points are not finite." if lost else "."))
    return facts
