"""Sheets of images: rows of them in one file, and figures made of one file of tensors after another."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deqbench.papers import Exhibit
from deqbench.records import write_frame
from deqbench.report.canvas import canvas, nothing, picture
from deqbench.report.sources import of_kind, tensors

WIDTH, HEIGHT = 0.94, 1.2  # of an image of a sheet, and of its row with the words below, where columns are one apart
Tensors = dict[str, NDArray[Any]]
About = dict[str, str]  # the words in a file of tensors


@dataclass(frozen=True)
class Drawn:
    """One drawn file: its entry (canvas.entry), rows of data, and what else to say."""

    file: dict[str, Any]
    data: list[dict[str, Any]]
    facts: Sequence[str] = ()


@dataclass(frozen=True)
class Images:
    """A kind of figure that is drawn from each file of tensors by itself.

    draw: of the exhibit, the tensors, their words, and the path of a drawing without its ending.
    """

    draw: Callable[[Exhibit, Tensors, About, Path], Iterable[Drawn]]
    facts: Sequence[str]
    columns: list[str] | None = None  # of the data, which has them without a row too

    def __call__(self, exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
        """Draws into the folder `out`, and gives what `figures.draw` writes down. UserError: there are no tensors."""
        sources = of_kind(exhibit, records, ".safetensors")
        kept = [one for source in sources for one in self.draw(exhibit, *tensors(source), out / source.stem)]
        data = pd.DataFrame([row for drawn in kept for row in drawn.data], columns=self.columns)
        write_frame(out / "data.csv", data)
        if not kept:
            return nothing("No run of this scale has kept these images.")
        facts = [*self.facts, *(fact for drawn in kept for fact in drawn.facts), *exhibit.spec.get("facts", ())]
        return {"files": [drawn.file for drawn in kept], "facts": facts}


def sheet(
    path: Path,
    heads: Sequence[str],
    rows: Sequence[tuple[str, Sequence[NDArray[np.floating[Any]] | None], Sequence[str]]],
    size: tuple[float, float],
) -> None:
    """Rows of images of one size, written to `path` as SVG: each with its label, its images (None: a gap) under the
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
