"""The figures of the comparison: error against rounds, evaluations and seconds, a panel a problem and T."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench.papers import Exhibit
from deqbench.papers.drawings import Errors
from deqbench.report.canvas import Drawn
from deqbench.report.charts import GREY, Look, charts, labelled, looks, span

AXES = {"round": "rounds", "nfe": "NFE / T", "seconds": "seconds"}
RIGHT, LOWEST = 1e-3, 1e-7
KEYS = ["dataset", "T", "method", "run"]


def draw_errors(exhibit: Exhibit, drawing: Errors, traces: pd.DataFrame, out: Path) -> Drawn:
    """Data, files and facts of one SVG file for each quantity of AXES, drawn into the folder `out`."""
    points = medians(traces)
    parts = {axis: points[points[axis].notna()] for axis in AXES if axis in points}
    parts["round"] = parts["round"][parts["round"]["run"] == "counted"]
    lines = looks(labelled(points["method"], exhibit.spec.labels), ours=drawing.ours, rivals=drawing.rivals)
    files = [_file(axis, part, lines, out) for axis, part in parts.items() if len(part)]
    facts = [
        f"Lines are medians over n = {span(points['n'])} images; an image whose run has ended keeps its last error.",
        f"The dotted line is an error of {RIGHT:g}; errors below {LOWEST:g} are not drawn.",
        "Against rounds and evaluations, methods that can be kept going go on past their own stop; against seconds they"
        " end there.",
    ]
    return points, files, facts


def medians(traces: pd.DataFrame) -> pd.DataFrame:
    """Rows dataset, T, method, run (counted or timed), round, nfe, seconds, median (the error) and n (images).

    traces: rows dataset, T, method, image, round, value and one of nfe, seconds.
    """
    timed = traces["seconds"].notna() if "seconds" in traces else pd.Series(False, index=traces.index)
    traces = traces.assign(run=np.where(timed, "timed", "counted"))
    parts = {}
    for key, part in traces.groupby(KEYS, sort=True):
        held = {"median": _held(part, "value")}
        held |= {axis: _held(part, axis) for axis in ("nfe", "seconds") if axis in part and part[axis].notna().any()}
        parts[key] = pd.DataFrame(held).reset_index().assign(n=part["image"].nunique())
    columns = [*KEYS, "round", *(axis for axis in ("nfe", "seconds") if axis in traces), "median", "n"]
    return pd.concat(parts, names=KEYS).reset_index(level=KEYS)[columns]


def _held(part: pd.DataFrame, column: str) -> pd.Series:
    """The median over images after each round; an image whose run has ended keeps its last value."""
    return part.pivot_table(index="round", columns="image", values=column, dropna=False).ffill().median(axis=1)


def _file(axis: str, points: pd.DataFrame, lines: dict[str, Look], out: Path) -> dict[str, Any]:
    problems, lengths = list(dict.fromkeys(points["dataset"])), sorted(points["T"].unique())
    across = len(lengths) if len(lengths) > 1 else len(problems)
    panels = {f"{problem}, T = {T}": (problem, T) for problem in problems for T in lengths}
    with charts(out / f"{axis}.svg", (len(panels) // across, across), (3.6, 2.9), lines, sharey=True) as figure:
        axes = figure.panels(list(panels), AXES[axis], "error of x0 (relative)")
        for ax, place in zip(axes, panels.values(), strict=True):
            here = points[points[["dataset", "T"]].eq(list(place)).all(axis=1)]
            for name, look in lines.items():  # in their order: ours on top
                part = here[(here["method"] == name) & (here["median"] >= LOWEST)]
                if len(part):
                    ax.plot(part[axis], part["median"], label=look.label, **look.style(len(part), 5))
            if len(here):
                ax.axhline(RIGHT, color=GREY, linewidth=0.8, linestyle=":")
                ax.set(xscale="log", yscale="log", ylim=(LOWEST, 3))
                ax.grid(True, which="major")
    names = f"a line a method ({', '.join(look.label for look in lines.values())}): {'; '.join(panels)}."
    return figure.entry(f"Error against {AXES[axis]}", f"Line charts of the error of x0 over {AXES[axis]}, {names}")
