"""The figure of inversions against the clock: the smallest loss within so many seconds, a panel a data set and T."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.canvas import COLOURS, MARKERS, canvas, pixels
from deqbench.report.sources import of_kind

OURS = ("#000000", "#7f1d1d", "#4b5563")  # of COLOURS none
KEYS = ["dataset", "T", "method"]
POINTS = 60  # of a line, evenly in the logarithm of the seconds
LABEL = 2.9  # inches of the longest label in the legend


def draw_race(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws `seconds.svg` into the folder `out`, and what `draw` writes down about it. UserError: no traces."""
    points = within(read_records(of_kind(exhibit, records, ".parquet")))
    write_frame(out / "data.csv", points)
    if points.empty:
        return {"files": [], "facts": ["No inversion of this scale was timed."]}
    found = set(points["method"])
    labels = {name: text for name, text in exhibit.spec["labels"].items() if name in found}
    labels |= {name: name for name in sorted(found) if name not in labels}
    panels = list(points[["dataset", "T"]].drop_duplicates().itertuples(index=False, name=None))
    across = min(2, len(panels))
    shape = (-(-len(panels) // across), across)
    columns = max(1, int(3.9 * across / LABEL))
    size = (max(5.5, 3.9 * across), 3.1 * shape[0] + 0.4 + 0.19 * -(-len(labels) // columns))
    with canvas(out / "seconds.svg", shape, size, sharey=True) as (figure, grid):
        for ax, (dataset, T) in zip(grid.flat, panels, strict=False):
            _lines(ax, points[(points["dataset"] == dataset) & (points["T"] == T)], labels, exhibit.spec["ours"])
            ax.set_title(f"{dataset}, T = {T}", fontweight="bold")
            ax.set_xlabel("seconds, one image")
        for ax in grid.flat[len(panels) :]:
            ax.set_axis_off()
        for ax in grid[:, 0]:
            ax.set_ylabel("smallest loss so far")
        lines = {label: line for ax in grid.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        order = [label for label in labels.values() if label in lines]
        figure.legend([lines[name] for name in order], order, loc="outside lower center", ncols=columns, frameon=False)
    names = "; ".join(f"{dataset}, T = {T}" for dataset, T in panels)
    alt = f"Line charts of the smallest loss over seconds, a line a method ({', '.join(labels.values())}): {names}."
    least, most = points["n"].min(), points["n"].max()
    n = f"{most}" if least == most else f"{least} to {most}"
    facts = [
        f"Lines are medians over n = {n} images of the smallest loss that a method has shown within so many seconds; a"
        " line starts where every image has shown one.",
        "Losses are those of the sequential chain, evaluated outside the clock. Thick lines are ours.",
    ]
    return {
        "files": [{"file": "seconds.svg", "title": "Loss against seconds", "alt": alt, "width": pixels(size)}],
        "facts": facts,
    }


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


def _lines(ax: Axes, points: pd.DataFrame, labels: dict[str, str], names: list[str]) -> None:
    """One line a method, which looks the same in every panel."""
    for at, (name, label) in enumerate(labels.items()):
        part = points[points["method"] == name]
        if part.empty:
            continue
        ours = name in names
        look: dict[str, Any] = {"linewidth": 2.2 if ours else 1.2, "marker": MARKERS[(at + at // 10) % len(MARKERS)]}
        look["color"] = OURS[names.index(name) % len(OURS)] if ours else COLOURS[at % len(COLOURS)]
        every = max(1, len(part) // 6)
        ax.plot(part["seconds"], part["median"], label=label, markersize=4.0, markevery=(at % every, every), **look)
    ax.set(xscale="log", yscale="log")
    ax.grid(True, which="major")
