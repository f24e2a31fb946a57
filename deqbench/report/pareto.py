"""The figure of error against seconds: settings as faint points, each method's frontier and the whole as lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from deqbench.metrics.frontier import frontier
from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.canvas import nothing
from deqbench.report.charts import GREY, Look, charts, labelled, looks, span
from deqbench.report.sources import of_kind

WHOLE = Look("frontier of all methods", GREY + "99", "", 3.5, (1, 1))
KEYS = ["dataset", "method", "precision", "rate", "budget", "iteration"]


def draw_pareto(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws `seconds.svg` into the folder `out`, and what `draw` writes down about it. UserError: no points.

    The spec's `families` puts several methods into one colour and label, and leaves the others out. records: rows of
    the sweeps' frontiers: a setting each, with its dataset.
    """
    points = _of_families(read_records(of_kind(exhibit, records, ".parquet")), exhibit.spec)
    write_frame(out / "data.csv", points)
    if points.empty:
        return nothing("No inversion of this scale was timed.")
    known, families = exhibit.spec.get("labels", {}), exhibit.spec.get("families", {}).values()
    labels = labelled(points["family"], {name: known.get(name, name) for name in (*known, *families)})
    panels = {str(dataset): part for dataset, part in points.groupby("dataset", sort=True)}
    shape = (-(-len(panels) // 3), min(3, len(panels)))
    lines = looks(labels, exhibit.spec) | {None: WHOLE}
    with charts(out / "seconds.svg", shape, (3.6, 3.1), lines) as drawing:
        axes = drawing.panels(list(panels), "seconds, one image", "NMSE, mean of dB")
        for ax, part in zip(axes, panels.values(), strict=True):
            _panel(ax, part, {name: lines[name] for name in labels})
    alt = (
        f"Charts of the latent's error in dB over seconds, a point a setting, a line a method"
        f" ({', '.join(labels.values())}): {', '.join(panels)}."
    )
    return {"files": [drawing.entry("Error against seconds", alt)], "facts": _facts(points)}


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


def _panel(ax: Axes, points: pd.DataFrame, lines: dict[str, Look]) -> None:
    for name, look in lines.items():
        part = points[points["family"] == name]
        if part.empty:
            continue
        faint: Any = {"color": look.colour, "alpha": 0.25, "markersize": 3, "linestyle": "none"}
        ax.plot(part["seconds"], part["nmse_db"], look.marker, **faint)
        best = part[frontier(part["seconds"].to_numpy(), part["nmse_db"].to_numpy())].sort_values("seconds")
        ax.plot(best["seconds"], best["nmse_db"], label=look.label, **look.style())
    whole = points[points["frontier"]].sort_values("seconds")
    ax.plot(whole["seconds"], whole["nmse_db"], label=WHOLE.label, zorder=0, **WHOLE.style())
    ax.set_xscale("log")
    ax.grid(True, which="major")


def _facts(points: pd.DataFrame) -> list[str]:
    share = points.groupby("dataset")["frontier"].sum()
    counts = ", ".join(f"{found} of {(points['dataset'] == name).sum()} ({name})" for name, found in share.items())
    return [
        f"A point is an iterate of one setting (method, rate, budget, precision), the mean over n = {span(points['n'])}"
        " images; faint points are dominated by another setting of their method, which its line leaves out.",
        f"On the frontier of all methods, which nothing is both faster and more accurate than: {counts}.",
        "Seconds are those of one image at a time, its encoding included.",
    ]
