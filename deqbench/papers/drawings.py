"""Drawings of exhibits as types: each kind with the keys that it has, and no others."""

from typing import Annotated, Any, Literal

from pydantic import Field

from deqbench.config.strict import Strict

Names = tuple[str, ...]
Rows = dict[str, str]  # tensors of a file, by name, and the label of each row of images


class Noted(Strict):
    """A drawing under which sentences stand that are so in every run."""

    facts: Names = ()


TRACES = ("curves", "errors", "race", "pareto", "scatter", "histogram")  # the kinds that are drawn from traces
VALUES = ("bars",)  # from the records of tables; others from tensors


class Curves(Noted):
    """Quantities over rounds or updates, a line a value of `lines`."""

    kind: Literal["curves"]
    x: str
    y: Names  # metrics
    lines: str  # the key that tells lines apart
    panels: str = "dataset"  # or problem: data set and T together
    facet: str | None = "method"  # a chart a value in each panel; none: one chart a panel
    where: dict[str, Any] = Field({})  # the records that are drawn, by key and value or values
    scale: Literal["log", "symlog", "linear"] = "log"  # of y; log only where any value is positive


class Latents(Strict):
    """States of a chain after some rounds."""

    kind: Literal["latents"]


class Samples(Strict):
    """Images from one x_T, by eta."""

    kind: Literal["samples"]


class Errors(Strict):
    """Error against rounds, evaluations and seconds."""

    kind: Literal["errors"]
    ours: Names
    rivals: Names  # methods that compute another result


class Race(Strict):
    """The smallest loss within so many seconds."""

    kind: Literal["race"]
    ours: Names


class Pareto(Strict):
    """Error against seconds, a point a setting."""

    kind: Literal["pareto"]
    ours: Names = ()
    families: Rows | None = None  # what several methods are drawn as; others are left out


class Scatter(Noted):
    """Two measures of the same images, a third as colour."""

    kind: Literal["scatter"]
    x: str
    y: str
    colour: str


class Histogram(Noted):
    """The distribution of a quantity, a panel a data set and method."""

    kind: Literal["histogram"]
    x: str  # a metric
    bins: int = Field(40, ge=2)
    by: str | None = None  # a column by whose values the distributions of a panel are told apart


class Bars(Noted):
    """Means over splits or seeds with their intervals: a row of panels a quantity, a column a data set."""

    kind: Literal["bars"]
    y: Names  # metrics of the exhibit
    methods: Names  # those drawn, in this order
    ours: Names = ()  # those drawn dark


class Triplets(Noted):
    """Targets and what inversions make of them."""

    kind: Literal["triplets"]
    rows: Rows
    needs: str = "target"  # a file without this tensor is left out


class Pictures(Noted):
    """Rows of images: progress over updates, confusion matrices, rings, edits."""

    kind: Literal["updates", "confusion", "rings", "edits"]
    rows: Rows


class Gallery(Noted):
    """Rows of generated images."""

    kind: Literal["gallery"]
    rows: Rows


Drawing = Annotated[
    Curves | Latents | Samples | Errors | Race | Pareto | Scatter | Histogram | Bars | Gallery | Triplets | Pictures,
    Field(discriminator="kind"),
]
