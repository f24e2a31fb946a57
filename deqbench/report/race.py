"""The figure of inversions against the clock: the smallest loss within so many seconds, a panel a data set and T."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.canvas import nothing
from deqbench.report.charts import charts, labelled, looks, span
from deqbench.report.sources import of_kind

KEYS = ["dataset", "T", "method"]
POINTS = 60  # of a line, evenly in the logarithm of the seconds


def draw_race(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws `seconds.svg` into the folder `out`, and what `draw` writes down about it. UserError: no traces."""
    points = within(read_records(of_kind(exhibit, records, ".parquet")))
    write_frame(out / "data.csv", points)
    if points.empty:
        return nothing("No inversion of this scale was timed.")
    labels = labelled(points["method"], exhibit.spec["labels"])
    panels = [(f"{dataset}, T = {T}", part) for (dataset, T), part in points.groupby(KEYS[:2], sort=False)]
    shape = (-(-len(panels) // 2), min(2, len(panels)))
    lines = looks(labels, exhibit.spec)
    with charts(out / "seconds.svg", shape, (3.9, 3.1), lines, sharey=True) as drawing:
        axes = drawing.panels([title for title, _ in panels], "seconds, one image", "smallest loss so far")
        for ax, (_, here) in zip(axes, panels, strict=True):
            for name, label in labels.items():
                part = here[here["method"] == name]
                if len(part):
                    ax.plot(part["seconds"], part["median"], label=label, **lines[name].style(len(part), 6))
            ax.set(xscale="log", yscale="log")
            ax.grid(True, which="major")
    names = "; ".join(title for title, _ in panels)
    alt = f"Line charts of the smallest loss over seconds, a line a method ({', '.join(labels.values())}): {names}."
    facts = [
        f"Lines are medians over n = {span(points['n'])} images of the smallest loss that a method has shown within so"
        " many seconds; a line starts where every image has shown one.",
        "Losses are those of the sequential chain, evaluated outside the clock. Thick lines are ours.",
    ]
    return {"files": [drawing.entry("Loss against seconds", alt)], "facts": facts}


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
