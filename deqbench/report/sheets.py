"""Sheets of images: rows of them in one file, and figures made of one file of tensors after another."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deqbench.papers import Exhibit
from deqbench.report.canvas import Drawn, canvas, picture
from deqbench.report.sources import tensors

WIDTH, HEIGHT = 0.94, 1.2  # of an image of a sheet, and of its row with the words below, where columns are one apart
Tensors = dict[str, NDArray[Any]]
About = dict[str, str]  # the words in a file of tensors
Sheet = tuple[dict[str, Any], list[dict[str, Any]], list[str]]  # a drawn file: its canvas.entry, data and facts


@dataclass(frozen=True)
class Images:
    """A kind of figure that is drawn from each file of tensors by itself.

    draw: of the exhibit, its drawing, the tensors, their words, and the path of a drawing.
    """

    draw: Callable[[Exhibit, Any, Tensors, About, Path], Iterable[Sheet]]
    facts: Sequence[str]
    columns: list[str] | None = None  # of the data, which has them without a row too

    def __call__(self, exhibit: Exhibit, drawing: Any, sources: Sequence[Path], out: Path) -> Drawn:
        """Data, files and facts of what is drawn into the folder `out`."""
        sheets = [
            one for path in sources for one in self.draw(exhibit, drawing, *tensors(path), out / f"{path.stem}.svg")
        ]
        data = pd.DataFrame([row for _, rows, _ in sheets for row in rows], columns=self.columns)
        if not sheets:
            return data, [], ["No run of this scale has kept these images."]
        facts = [*self.facts, *(fact for *_, told in sheets for fact in told), *getattr(drawing, "facts", ())]
        return data, [file for file, *_ in sheets], facts


def sheet(
    path: Path,
    heads: Sequence[str],
    rows: Sequence[tuple[str, Sequence[NDArray[np.floating[Any]] | None], Sequence[str]]],
    size: tuple[float, float],
) -> None:
    """Writes rows of images of one size to `path` as SVG: each with its label, its images (None: a gap) under the
    `heads` of the columns, and the words below each.
    """
    with canvas(path, (1, 1), size) as (_, ((ax,),)):  # one for all: dozens of axes would take seconds to lay out
        for row, (_, images, below) in enumerate(rows):
            top = HEIGHT * row
            for column, (image, words) in enumerate(zip(images, below, strict=True)):
                if image is not None:
                    picture(ax, image, (column, column + WIDTH, top + WIDTH, top))
                    ax.text(column + WIDTH / 2, top + WIDTH + 0.02, words, ha="center", va="top", fontsize=7.5)
        middle = WIDTH / 2
        ax.set(xlim=(0, len(heads) - 1 + WIDTH), ylim=(HEIGHT * len(rows), 0))
        ax.set_xticks([column + middle for column in range(len(heads))], heads)
        ax.set_yticks([HEIGHT * row + middle for row in range(len(rows))], [label for label, *_ in rows])
        ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
