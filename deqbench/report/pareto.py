"""The figure of error against seconds: settings as faint points, each method's frontier and the whole as lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from deqbench.metrics.frontier import frontier
from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.canvas import COLOURS, MARKERS, canvas, pixels
from deqbench.report.sources import of_kind

OURS = ("#000000", "#7f1d1d")  # of COLOURS none
LABEL = 2.9  # inches of the longest label in the legend
KEYS = ["dataset", "method", "precision", "rate", "budget", "iteration"]


def draw_pareto(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws `seconds.svg` into the folder `out`, and what `draw` writes down about it. UserError: no points.

    The spec's `families` puts several methods into one colour and label, and leaves the others out. records: rows of
    the sweeps' frontiers: a setting each, with its dataset.
    """
    points = _of_families(read_records(of_kind(exhibit, records, ".parquet")), exhibit.spec)
    write_frame(out / "data.csv", points)
    if points.empty:
        return {"files": [], "facts": ["No inversion of this scale was timed."]}
    panels = sorted(points["dataset"].unique())
    labels = _labels(points, exhibit.spec)
    across = min(3, len(panels))
    shape = (-(-len(panels) // across), across)
    columns = max(1, int(3.6 * across / LABEL))
    size = (max(5.5, 3.6 * across), 3.1 * shape[0] + 0.4 + 0.19 * -(-len(labels) // columns))
    with canvas(out / "seconds.svg", shape, size) as (figure, grid):
        for ax, dataset in zip(grid.flat, panels, strict=False):
            _panel(ax, points[points["dataset"] == dataset], labels, exhibit.spec.get("ours", ()))
            ax.set_title(dataset, fontweight="bold")
            ax.set_xlabel("seconds, one image")
        for ax in grid.flat[len(panels) :]:
            ax.set_axis_off()
        for ax in grid[:, 0]:
            ax.set_ylabel("NMSE, mean of dB")
        lines = {text: line for ax in grid.flat for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
        order = [*(text for text in labels.values() if text in lines), *([FRONTIER] if FRONTIER in lines else [])]
        figure.legend([lines[name] for name in order], order, loc="outside lower center", ncols=columns, frameon=False)
    alt = (
        f"Charts of the latent's error in dB over seconds, a point a setting, a line a method"
        f" ({', '.join(labels.values())}): {', '.join(panels)}."
    )
    file = {"file": "seconds.svg", "title": "Error against seconds", "alt": alt, "width": pixels(size)}
    return {"files": [file], "facts": _facts(points)}


FRONTIER = "frontier of all methods"


def _of_families(points: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """The points with the family that each is drawn as, and whether it is on the frontier of all that are drawn."""
    families = spec.get("families")
    points = points.assign(family=points["method"] if families is None else points["method"].map(families))
    points = points[points["family"].notna() & (points["seconds"] > 0)].sort_values(KEYS, kind="stable")
    marks = {
        at: bool(on)
        for _, part in points.groupby("dataset", sort=True)
        for at, on in zip(part.index, frontier(part["seconds"].to_numpy(), part["nmse_db"].to_numpy()), strict=True)
    }
    return points.assign(frontier=pd.Series(marks, dtype=bool)).reset_index(drop=True)


def _labels(points: pd.DataFrame, spec: dict[str, Any]) -> dict[str, str]:
    """The families that are drawn, in the order of the spec, and their names."""
    found, known = list(dict.fromkeys(points["family"])), spec.get("labels", {})
    order = list(dict.fromkeys([*known, *spec.get("families", {}).values(), *sorted(found)]))
    return {name: known.get(name, name) for name in order if name in found}


def _panel(ax: Axes, points: pd.DataFrame, labels: dict[str, str], ours: Sequence[str]) -> None:
    for at, (name, label) in enumerate(labels.items()):
        part = points[points["family"] == name]
        if part.empty:
            continue
        colour = OURS[list(ours).index(name) % len(OURS)] if name in ours else COLOURS[at % len(COLOURS)]
        marker = MARKERS[(at + at // len(COLOURS)) % len(MARKERS)]
        ax.plot(part["seconds"], part["nmse_db"], marker, color=colour, alpha=0.25, markersize=3, linestyle="none")
        best = part[frontier(part["seconds"].to_numpy(), part["nmse_db"].to_numpy())].sort_values("seconds")
        ax.plot(
            best["seconds"], best["nmse_db"], label=label, color=colour, marker=marker, markersize=4,
            linewidth=2.0 if name in ours else 1.2,
        )  # fmt: skip
    whole = points[points["frontier"]].sort_values("seconds")
    ax.plot(
        whole["seconds"], whole["nmse_db"], label=FRONTIER, color="#6b7280", linestyle=(0, (1, 1)), linewidth=3.5,
        alpha=0.6, zorder=0,
    )  # fmt: skip
    ax.set_xscale("log")
    ax.grid(True, which="major")


def _facts(points: pd.DataFrame) -> list[str]:
    least, most = points["n"].min(), points["n"].max()
    n = f"{most}" if least == most else f"{least} to {most}"
    share = points.groupby("dataset")["frontier"].sum()
    counts = ", ".join(f"{found} of {(points['dataset'] == name).sum()} ({name})" for name, found in share.items())
    return [
        f"A point is an iterate of one setting (method, rate, budget, precision), the mean over n = {n} images; faint"
        " points are dominated by another setting of their method, which its line leaves out.",
        f"On the frontier of all methods, which nothing is both faster and more accurate than: {counts}.",
        "Seconds are those of one image at a time, its encoding included.",
    ]
