"""What every figure is drawn on: one style, no global state, files that are the same whenever they are drawn."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deqbench.records import write_text

# Told apart by colour-blind readers too: the first of seaborn's palette, which would take seconds to load.
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
MARKERS = "osD^vPX*<>"
STYLE: Any = {
    "svg.hashsalt": "deqbench",  # ids in the file, otherwise random
    "svg.fonttype": "path",  # looks the same whatever fonts the reader has
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#6b7280",
    "figure.facecolor": "white",
    "grid.color": "#e5e7eb",
}


@contextmanager
def canvas(path: Path, shape: tuple[int, int], size: tuple[float, float], **grid: Any) -> Iterator[Any]:
    """A figure and its axes (rows, columns), written to `path` as SVG without date or random ids."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")  # no pyplot: no global state, no display
        yield figure, figure.subplots(*shape, squeeze=False, **grid)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        write_text(path, text.getvalue())


def picture(ax: Axes, image: NDArray[np.floating[Any]]) -> None:
    """Draws an image (C, H, W) in [-1, 1], enlarged without smoothing, without axes."""
    shown = np.clip(image.transpose(1, 2, 0) / 2 + 0.5, 0, 1)  # (H, W, C)
    ax.imshow(shown.repeat(3, axis=2) if shown.shape[2] == 1 else shown, interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def pixels(size: tuple[float, float]) -> int:
    """The width of a figure as a page shows it."""
    return round(size[0] * 110)
