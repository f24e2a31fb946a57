"""The figure of inversions against the clock: the smallest loss within so many seconds, a panel a data set and T."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench.papers import Exhibit
from deqbench.papers.drawings import Race
from deqbench.report.canvas import Drawn
from deqbench.report.charts import charts, grid, labelled, looks, span

KEYS = ["dataset", "T", "method"]
POINTS = 60  # of a line, evenly in the logarithm of the seconds


def draw_race(exhibit: Exhibit, drawing: Race, traces: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of `seconds.svg`, drawn into the folder `out`."""
    points = within(traces)
    if points.empty:
        return points, [], ["No inversion of this scale was timed."]
    labels = labelled(points["method"], exhibit.spec.labels)
    panels = {f"{dataset}, T = {T}": part for (dataset, T), part in points.groupby(KEYS[:2], sort=False)}
    lines = looks(labels, ours=drawing.ours)
    with charts(out / "seconds.svg", grid(len(panels), 2), (3.9, 3.1), lines, sharey=True) as figure:
        axes = figure.panels(list(panels), "seconds, one image", "smallest loss so far")
        for ax, here in zip(axes, panels.values(), strict=True):
            for name, look in lines.items():
                part = here[here["method"] == name]
                if len(part):
                    ax.plot(part["seconds"], part["median"], label=look.label, **look.style(len(part), 6))
            ax.set(xscale="log", yscale="log")
            ax.grid(True, which="major")
    names = "; ".join(panels)
    alt = f"Line charts of the smallest loss over seconds, a line a method ({', '.join(labels.values())}): {names}."
    facts = [
        f"Lines are medians over n = {span(points['n'])} images of the smallest loss that a method has shown within so"
        " many seconds; a line starts where every image has shown one.",
        "Losses are those of the sequential chain, evaluated outside the clock. Thick lines are ours.",
    ]
    return points, [figure.entry("Loss against seconds", alt)], facts


def within(traces: pd.DataFrame) -> pd.DataFrame:
    """Rows dataset, T, method, seconds, median, low, high, n: of the smallest loss within so many seconds, over images.

    traces: rows dataset, T, method, image, seconds, value, and metric where not all are losses; without noise in the
    chain (no eta, or 0).
    """
    kept = traces[traces["value"].notna() & traces["seconds"].notna()]
    for column, wanted in (("metric", "loss"), ("eta", 0)):
        if column in kept:
            kept = kept[kept[column].isna() | (kept[column] == wanted)]
    rows = []
    for key, part in kept.groupby(KEYS, sort=True):
        images = [one.sort_values("seconds") for _, one in part.groupby("image", sort=True)]
        first = max(float(one["seconds"].iloc[0]) for one in images)
        last = max(float(one["seconds"].iloc[-1]) for one in images)
        start = max(first, min(float(one.loc[one["seconds"] > 0, "seconds"].min()) for one in images))
        seconds = np.geomspace(start, last, POINTS if last > start else 1) if start > 0 else np.array([])
        lows = np.array([_at(one, seconds) for one in images])  # (images, points)
        for at, second in enumerate(seconds):
            values = lows[:, at]
            spread = {"median": np.median(values), "low": values.min(), "high": values.max(), "n": len(values)}
            rows.append({**dict(zip(KEYS, key, strict=True)), "seconds": second, **spread})
    return pd.DataFrame(rows, columns=[*KEYS, "seconds", "median", "low", "high", "n"])


def _at(one: pd.DataFrame, seconds: Any) -> Any:
    """The smallest loss of an image until each of the seconds."""
    lowest = np.minimum.accumulate(one["value"].to_numpy(dtype=float))
    place = np.searchsorted(one["seconds"].to_numpy(dtype=float), seconds * (1 + 1e-12), side="right") - 1
    return lowest[np.maximum(place, 0)]
