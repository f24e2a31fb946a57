"""Charts: how each method looks in every panel, panels side by side, and one legend for all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deqbench.report.canvas import canvas, entry

# Told apart by colour-blind readers too: the first of seaborn's palette, which would take seconds to load.
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
OURS = ("#000000", "#7f1d1d", "#4b5563", "#14532d")  # of COLOURS none
GREY, RED = "#6b7280", "#b91c1c"
DASHES = ((), (5, 1.5), (1.5, 1), (5, 1, 1, 1), (3, 1, 1, 1, 1, 1))
DOTS = (1, 1.65)
MARKS = dict(zip("osD^vPX*<>", "●■◆▲▼✚✖★◀▶", strict=True))  # of a drawing, and of the legend on a page
LETTER, HANDLE, LINE = 0.072, 0.6, 0.19  # inches: a letter of the legend, the line before its label, and its height


@dataclass(frozen=True)
class Look:
    """The line of a method, drawn alike in the panels and in the legend."""

    label: str
    colour: str
    marker: str
    width: float = 1.3
    dash: tuple[float, ...] = ()
    place: int = 0  # among all lines, so that their markers do not lie upon each other

    def style(self, points: int = 0, marks: int = 8) -> dict[str, Any]:
        """Matplotlib's words for it; of a line of so many points, at most about `marks` carry a marker (0: all)."""
        every = max(1, points // marks)
        look = {"color": self.colour, "marker": self.marker, "markersize": 4.0, "linewidth": self.width}
        return look | {"linestyle": (0, self.dash) if self.dash else "-", "markevery": (self.place % every, every)}

    def key(self) -> dict[str, Any]:
        """The entry of the legend that a page has beside the drawing."""
        dash = " ".join(f"{self.width * length:g}" for length in self.dash)
        about = {"label": self.label, "colour": self.colour, "mark": MARKS.get(self.marker, "")}
        return about | {"width": self.width, "dash": dash}


def labelled(names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Labels of the names, those of `known` in its order before the others."""
    drawn = set(names)
    others = {name: name for name in sorted(drawn - set(known))}
    return {name: label for name, label in [*known.items(), *others.items()] if name in drawn}


def grid(panels: int, across: int) -> tuple[int, int]:
    """Rows and columns of so many panels, at most `across` side by side."""
    return -(-panels // across), min(across, panels)


def looks(
    labels: Mapping[Any, str], *, ours: Sequence[str] = (), rivals: Sequence[str] = (), dashed: bool = False
) -> dict[Any, Look]:
    """A look for each name: ours dark and thick, rivals (other results than the one drawn) dotted, and the papers'
    methods and their peers in a colour each.

    dashed: every line has a dash of its own too, where there are few.
    """
    made = {}
    for at, (name, label) in enumerate(labels.items()):
        colour, width, dash = COLOURS[at % len(COLOURS)], 1.3, DASHES[at % len(DASHES)] if dashed else ()
        if name in ours:
            colour, width, dash = OURS[ours.index(name) % len(OURS)], 2.2, ()
        elif name in rivals:
            dash = DOTS
        marker = list(MARKS)[(at + at // len(COLOURS)) % len(MARKS)]
        made[name] = Look(label, colour, marker, width, dash, at)
    return made


@dataclass(frozen=True)
class Charts:
    """A figure of panels that is being drawn."""

    path: Path
    size: tuple[float, float]
    figure: Figure
    axes: Any  # (rows, columns) of Axes
    legend: list[Look]  # once it is drawn: those that are in it

    def panels(self, titles: Sequence[str], x: str, y: str) -> list[Axes]:
        """The axes of as many panels, row by row, with their titles and labels; y stands at the left of each row."""
        filled = list(self.axes.flat[: len(titles)])
        for ax, title in zip(filled, titles, strict=True):
            ax.set_title(title, fontweight="bold")
            ax.set_xlabel(x)
        for ax in self.axes[:, 0]:
            ax.set_ylabel(y)
        return filled

    def entry(self, title: str, alt: str) -> dict[str, Any]:
        """The file's entry for a page, with its legend."""
        return entry(self.path, title, alt, self.size) | {"legend": [look.key() for look in self.legend]}


@contextmanager
def charts(
    path: Path, shape: tuple[int, int], panel: tuple[float, float], lines: Mapping[Any, Look], **grid: Any
) -> Iterator[Charts]:
    """Axes (rows, columns) of `panel` inches each, written to `path` once they are drawn.

    Below stands one legend of those `lines` that any of them has; axes without data are taken away.
    """
    label = HANDLE + LETTER * max((len(look.label) for look in lines.values()), default=0)
    width = max(5.5, panel[0] * shape[1], label * min(2, len(lines)))
    across = max(1, int(width / label))
    size = (width, panel[1] * shape[0] + 0.4 + LINE * -(-len(lines) // across))
    with canvas(path, shape, size, **grid) as (figure, axes):
        made = Charts(path, size, figure, axes, [])
        yield made
        for ax in axes.flat:
            if not ax.has_data():
                ax.set_axis_off()
                ax.set_title("")
        shown = {label for ax in axes.flat for label in ax.get_legend_handles_labels()[1]}
        made.legend.extend(look for look in lines.values() if look.label in shown)
        if made.legend:
            handles = [Line2D([], [], label=look.label, **look.style()) for look in made.legend]
            columns = min(len(handles), across)
            figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def span(n: "pd.Series[int]") -> str:
    """The numbers of images behind the points of a chart: 24, or 20 to 24."""
    return f"{n.max()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
