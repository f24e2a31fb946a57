"""A canvas for every figure: one style, no global state, files that are the same whenever they are drawn."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deqbench.records import write_text

STYLE: Any = {
    "svg.hashsalt": "deqbench",  # ids in the file, otherwise random
    "image.composite_image": False,  # every image keeps its own pixels
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


def picture(
    ax: Axes, image: NDArray[np.floating[Any]], extent: tuple[float, float, float, float] | None = None
) -> None:
    """Draws an image (C, H, W) in [-1, 1], enlarged without smoothing, without axes.

    extent: its left, right, bottom and top in the axes' units; by default a unit a pixel.
    """
    shown = np.clip(image.transpose(1, 2, 0) / 2 + 0.5, 0, 1)  # (H, W, C)
    ax.imshow(shown.repeat(3, axis=2) if shown.shape[2] == 1 else shown, interpolation="none", extent=extent)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


Drawn = tuple[pd.DataFrame, list[dict[str, Any]], list[str]]  # data, an `entry` a file, and sentences about them


def entry(path: Path, title: str, alt: str, size: tuple[float, float]) -> dict[str, Any]:
    """A drawn file for a page: its name, title, alternative text, width in pixels, and legend."""
    return {"file": path.name, "title": title, "alt": alt, "width": round(size[0] * 110), "legend": []}
