"""The figure of error against seconds: settings as faint points, each method's frontier and the whole as lines."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from deqbench.metrics.frontier import frontier
from deqbench.papers import Exhibit
from deqbench.papers.drawings import Pareto
from deqbench.report.canvas import Drawn
from deqbench.report.charts import GREY, Look, charts, grid, labelled, looks, span

WHOLE = Look("frontier of all methods", GREY + "99", "", 3.5, (1, 1))
KEYS = ["dataset", "method", "precision", "rate", "budget", "iteration"]


def draw_pareto(exhibit: Exhibit, drawing: Pareto, settings: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of `seconds.svg`, drawn into the folder `out`.

    settings: rows of the frontiers of grids: a setting each, with its dataset.
    """
    points = _of_families(settings, drawing.families)
    if points.empty:
        return points, [], ["No inversion of this scale was timed."]
    known = exhibit.spec.labels
    names = (*known, *(drawing.families or {}).values())
    labels = labelled(points["family"], {name: known.get(name, name) for name in names})
    panels = {str(dataset): part for dataset, part in points.groupby("dataset", sort=True)}
    lines = looks(labels, ours=drawing.ours)
    with charts(out / "seconds.svg", grid(len(panels), 3), (3.6, 3.1), lines | {None: WHOLE}) as figure:
        axes = figure.panels(list(panels), "seconds, one image", "NMSE, mean of dB")
        for ax, part in zip(axes, panels.values(), strict=True):
            _panel(ax, part, lines)
    alt = (
        f"Charts of the latent's error in dB over seconds, a point a setting, a line a method"
        f" ({', '.join(labels.values())}): {', '.join(panels)}."
    )
    return points, [figure.entry("Error against seconds", alt)], _facts(points)


def _of_families(points: pd.DataFrame, families: dict[str, str] | None) -> pd.DataFrame:
    """The points with the family that each is drawn as, and whether it is on the frontier of all that are drawn."""
    points = points.assign(family=points["method"] if families is None else points["method"].map(families))
    points = points[points["family"].notna() & (points["seconds"] > 0)].sort_values(KEYS, kind="stable")
    marks = pd.Series(False, index=points.index)
    for _, part in points.groupby("dataset", sort=True):
        marks[part.index] = _on_frontier(part)
    return points.assign(frontier=marks).reset_index(drop=True)


def _on_frontier(points: pd.DataFrame) -> Any:
    """Whether nothing is both faster and more accurate than a point, for each of them."""
    return frontier(points["seconds"].to_numpy(), points["nmse_db"].to_numpy())


def _panel(ax: Axes, points: pd.DataFrame, lines: dict[str, Look]) -> None:
    for name, look in lines.items():
        part = points[points["family"] == name]
        if part.empty:
            continue
        faint: Any = {"color": look.colour, "alpha": 0.25, "markersize": 3, "linestyle": "none"}
        ax.plot(part["seconds"], part["nmse_db"], look.marker, **faint)
        best = part[_on_frontier(part)].sort_values("seconds")
        ax.plot(best["seconds"], best["nmse_db"], label=look.label, **look.style())
    whole = points[points["frontier"]].sort_values("seconds")
    ax.plot(whole["seconds"], whole["nmse_db"], label=WHOLE.label, zorder=0, **WHOLE.style())
    ax.set_xscale("log")
    ax.grid(True, which="major")


def _facts(points: pd.DataFrame) -> list[str]:
    share = points.groupby("dataset")["frontier"].sum()
    counts = ", ".join(f"{on} of {(points['dataset'] == name).sum()} ({name})" for name, on in share.items())
    return [
        f"A point is an iterate of one setting (method, rate, budget, precision), the mean over n = {span(points['n'])}"
        " images; faint points are dominated by another setting of their method, which its line leaves out.",
        f"On the frontier of all methods, which nothing is both faster and more accurate than: {counts}.",
        "Seconds are those of one image at a time, its encoding included.",
    ]
