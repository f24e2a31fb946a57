"""The figures of the comparison: error against rounds, evaluations and seconds, a panel a problem and T."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame
from deqbench.report.charts import GREY, charts, labelled, looks, span

AXES = {"round": "rounds", "nfe": "NFE / T", "seconds": "seconds"}
RIGHT, LOWEST = 1e-3, 1e-7
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
    labels = labelled(points["method"], exhibit.spec["labels"])
    files = [_file(axis, part, labels, exhibit.spec, out) for axis, part in drawn.items() if len(part)]
    write_frame(out / "data.csv", points)
    facts = [
        f"Lines are medians over n = {span(points['n'])} images; an image whose run has ended keeps its last error.",
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
    across = len(lengths) if len(lengths) > 1 else len(problems)
    panels = {f"{problem}, T = {T}": (problem, T) for problem in problems for T in lengths}
    lines = looks(labels, spec)
    with charts(out / f"{axis}.svg", (len(panels) // across, across), (3.6, 2.9), lines, sharey=True) as drawing:
        axes = drawing.panels(list(panels), AXES[axis], "error of x0 (relative)")
        for ax, place in zip(axes, panels.values(), strict=True):
            here = points[points[["dataset", "T"]].eq(list(place)).all(axis=1)]
            for name, label in labels.items():  # in their order: ours on top
                part = here[(here["method"] == name) & (here["median"] >= LOWEST)]
                if len(part):
                    ax.plot(part[axis], part["median"], label=label, **lines[name].style(len(part), 5))
            if len(here):
                ax.axhline(RIGHT, color=GREY, linewidth=0.8, linestyle=":")
                ax.set(xscale="log", yscale="log", ylim=(LOWEST, 3))
                ax.grid(True, which="major")
    names = f"a line a method ({', '.join(labels.values())}): {'; '.join(panels)}."
    return drawing.entry(f"Error against {AXES[axis]}", f"Line charts of the error of x0 over {AXES[axis]}, {names}")
