"""The figures of the comparison: error against rounds, evaluations and seconds, a panel a problem and T."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.canvas import COLOURS, MARKERS, canvas, pixels

AXES = {"round": "rounds", "nfe": "NFE / T", "seconds": "seconds"}
OURS = ("#000000", "#7f1d1d", "#4b5563", "#14532d")  # of COLOURS none
RIGHT, LOWEST = 1e-3, 1e-7
LABEL = 3.4  # inches of the longest label in the legend
KEYS = ["dataset", "T", "method", "run"]


def draw_errors(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """Draws one SVG file for each quantity of AXES into the folder `out`, and what `draw` writes down about them.

    UserError: no traces (*.parquet) among the records.
    """
    sources = [path for path in records if path.suffix == ".parquet"]
    if not sources:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected traces (*.parquet); found none")
    points = medians(read_records(sources))
    drawn = {axis: points[points[axis].notna()] for axis in AXES if axis in points}
    drawn["round"] = drawn["round"][drawn["round"]["run"] == "counted"]
    found = set(points["method"])
    labels = {name: text for name, text in exhibit.spec["labels"].items() if name in found}
    labels |= {name: name for name in sorted(found) if name not in labels}
    files = [_file(axis, part, labels, exhibit.spec, out) for axis, part in drawn.items() if len(part)]
    write_frame(out / "data.csv", points)
    least, most = points["n"].min(), points["n"].max()
    n = f"{most}" if least == most else f"{least} to {most}"
    facts = [
        f"Lines are medians over n = {n} images; an image whose run has ended keeps its last error.",
        f"The dotted line is an error of {RIGHT:g}; errors below {LOWEST:g} are not drawn.",
        "Against rounds and evaluations, methods that can be kept going go on past their own stop; against seconds they"
        " end there.",
    ]
    return {"files": files, "facts": facts}


def medians(traces: pd.DataFrame) -> pd.DataFrame:
    """Rows dataset, T, method, run (counted or timed), round, nfe, seconds, median (the error) and n (images).

    traces: rows dataset, T, method, image, round, value and one of nfe, seconds.
    """
    timed = traces["seconds"].notna() if "seconds" in traces else pd.Series(False, index=traces.index)
    traces = traces.assign(run=np.where(timed, "timed", "counted"))
    parts = {}
    for key, part in traces.groupby(KEYS, sort=True):
        found = {"median": _held(part, "value")}
        found |= {axis: _held(part, axis) for axis in ("nfe", "seconds") if axis in part and part[axis].notna().any()}
        parts[key] = pd.DataFrame(found).reset_index().assign(n=part["image"].nunique())
    columns = [*KEYS, "round", *(axis for axis in ("nfe", "seconds") if axis in traces), "median", "n"]
    return pd.concat(parts, names=KEYS).reset_index(level=KEYS)[columns]


def _held(part: pd.DataFrame, column: str) -> pd.Series:
    """The median over images after each round; an image whose run has ended keeps its last value."""
    return part.pivot_table(index="round", columns="image", values=column, dropna=False).ffill().median(axis=1)


def _file(axis: str, points: pd.DataFrame, labels: dict[str, str], spec: dict[str, Any], out: Path) -> dict[str, Any]:
    problems, lengths = list(dict.fromkeys(points["dataset"])), sorted(points["T"].unique())
    panels = [(problem, T) for problem in problems for T in lengths]
    across = len(lengths) if len(lengths) > 1 else len(problems)
    shape = (len(panels) // across, across)
    size = (max(7.5, 3.6 * shape[1]), 2.9 * shape[0] + 0.3)
    columns = int(size[0] / LABEL)
    size = (size[0], size[1] + 0.18 * -(-len(labels) // columns))
    with canvas(out / f"{axis}.svg", shape, size, sharey=True) as (figure, grid):
        for ax, (problem, T) in zip(grid.flat, panels, strict=True):
            part = points[(points["dataset"] == problem) & (points["T"] == T)]
            if part.empty:
                ax.set_axis_off()
                continue
            _lines(ax, part, axis, labels, spec)
            ax.set_title(f"{problem}, T = {T}", fontweight="bold")
            ax.set_xlabel(AXES[axis])
        for ax in grid[:, 0]:
            ax.set_ylabel("error of x0 (relative)")
        handles = {label: line for ax in grid.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        order = [label for label in labels.values() if label in handles]
        figure.legend(
            [handles[label] for label in order], order, loc="outside lower center", ncols=columns, frameon=False
        )
    names = "; ".join(f"{problem}, T = {T}" for problem, T in panels)
    alt = f"Line charts of the error of x0 over {AXES[axis]}, a line a method ({', '.join(labels.values())}): {names}."
    return {"file": f"{axis}.svg", "title": f"Error against {AXES[axis]}", "alt": alt, "width": pixels(size)}


def _lines(ax: Axes, points: pd.DataFrame, axis: str, labels: dict[str, str], spec: dict[str, Any]) -> None:
    """One line a method, which looks the same in every panel; ours are thick, other results dotted."""
    for at, (name, label) in enumerate(labels.items()):
        part = points[(points["method"] == name) & (points["median"] >= LOWEST)]
        if part.empty:
            continue
        ours = name in spec["ours"]
        colour = OURS[spec["ours"].index(name) % len(OURS)] if ours else COLOURS[at % len(COLOURS)]
        look: dict[str, Any] = {"color": colour, "marker": MARKERS[(at + at // 10) % len(MARKERS)], "markersize": 4.0}
        look |= {"linewidth": 2.0 if ours else 1.0}
        look |= {"linestyle": ":" if name in spec["rivals"] else "-", "markevery": max(1, len(part) // 5)}
        ax.plot(part[axis], part["median"], label=label, **look)
    ax.axhline(RIGHT, color="#6b7280", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log", ylim=(LOWEST, 3))
    ax.grid(True, which="major")
