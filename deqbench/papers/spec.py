"""An exhibit, and its spec: which records fill its cells, what the paper prints beside them, how it is drawn."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from deqbench.config.strict import Strict
from deqbench.papers.drawings import Drawing

Unit = Literal["image", "split", "seed", "task", "row"]
Direction = Literal["", "lower", "higher"]
Statistic = Literal[
    "mean", "geometric mean", "median", "time", "share", "exact", "worst", "95 % quantile", "standard deviation"
]
OwnInterval = Literal["over the whole set", "mean, then dB", "least squares", "Pearson"]  # the record brings its own
Allowance = Literal["relative", "absolute", "spread", "factor", "at_most"]
Limits = dict[Allowance, Annotated[float, Field(gt=0)]]
Tolerance = Annotated[
    Annotated[Literal["shown"], Tag("word")] | Annotated[Limits, Tag("limits")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "limits"),
]
RECORDS = (".csv", ".parquet", ".safetensors")
COMPARED = ("ratio_of", "ratio_to", "difference_to", "lower_than")


class Metric(Strict):
    """A column of a table: which records' metric it shows, by which statistic, and what a reader is told of it."""

    id: str
    label: str
    unit: str = ""
    direction: Direction = ""
    format: str = ".3g"
    statistic: Statistic | OwnInterval = "mean"
    help: str = ""
    absent: str | None = None  # words for a cell that no record fills
    left_out: str | None = None  # words for images that have no value, or none to compare
    tolerance: Tolerance = Field({})
    of: str | None = None  # the records' metric, else the id
    over: str | None = None  # divided by another metric of the same image
    only: dict[str, str | int | float] = Field({})  # columns of the records and the value they must have
    ratio_of: str | None = None  # a metric: the baseline's over the method's, pair by pair
    ratio_to: str | None = None
    difference_to: str | None = None
    lower_than: str | None = None
    baseline: str | None = None  # a method, else the exhibit's
    same: str | None = None  # a metric that must be equal where both have it
    reached: str | None = None  # a metric of 0 and 1: whether a count is one, or the budget plus one
    printed: str | None = None  # the paper's name of it
    printed_at: dict[str, str] = Field({})  # further columns of the printed row, and what they must hold
    printed_spread: bool = False  # with what is printed behind the plus-minus sign
    printed_help: str | None = None  # added to the help where the exhibit prints it

    @field_validator("format")
    @classmethod
    def _formats(cls, value: str) -> str:
        try:
            format(1.0, value)
        except ValueError as error:
            raise ValueError(f"expected a number format such as .3g; found '{value}'") from error
        return value

    @model_validator(mode="after")
    def _compared_once(self) -> "Metric":
        if len(self.comparisons) > 1:
            raise ValueError(f"expected one comparison; found {' and '.join(self.comparisons)}")
        return self

    @property
    def comparisons(self) -> tuple[str, ...]:
        """The comparison with a baseline that it shows, if it does."""
        return tuple(name for name in COMPARED if getattr(self, name) is not None)


class Spec(Strict):
    """The records, cells and drawing of an exhibit. Where nothing measures it, without experiment, it is false."""

    experiment: str = ""
    accepted: bool | str = False  # cells of longer chains (true) or of the scale named are shown beside a run's
    pairs: Unit = "image"  # what values are paired and counted over
    group: tuple[str, ...] = ("dataset", "T")  # keys of a block of cells
    baseline: str | None = None
    labels: dict[str, str] = Field({})  # of methods and drawn quantities
    metrics: tuple[Metric, ...] = ()
    only: dict[str, tuple[str | int | float, ...]] = Field({})  # records that are kept, by column and values
    reduce: Literal["by-rate", "equal-updates", "over-lengths"] | None = None  # makes records from traces
    printed_methods: dict[str, str | tuple[str, ...]] = Field({})  # the paper's names; several, as by noise
    printed_rows: dict[str, str] = Field({})  # patterns of the group's keys by method; "" stands for all others
    printed_at: dict[str, str] = Field({})  # columns of the printed row that must hold a key of the group
    printed_by: tuple[str, ...] = ()  # keys that the printed row must share
    drawing: Drawing | None = None
    records: tuple[str, ...] = ()  # patterns of files, else all of the experiment

    @field_validator("metrics")
    @classmethod
    def _once(cls, value: tuple[Metric, ...]) -> tuple[Metric, ...]:
        names = [metric.id for metric in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected each metric once; found {', '.join(twice)} twice")
        return value

    def __bool__(self) -> bool:
        return bool(self.experiment)

    def metric(self, name: str) -> Metric | None:
        """The metric of that id, if it is shown."""
        return next((metric for metric in self.metrics if metric.id == name), None)


Kind = Literal["table", "figure", "study"]
FILES: dict[Kind, str] = {"table": "tables.yaml", "figure": "figures.yaml", "study": "studies.yaml"}


@dataclass(frozen=True)
class Exhibit:
    """An exhibit with the spec that fills it, if anything measures it."""

    paper: str
    id: str  # kebab-case, unique within the paper: table-s1a
    kind: Kind  # by its file; figure-17 of deq-ddim is a figure that prints a table
    number: str  # as in the paper: Table S1a
    title: str
    caption: str
    printed: str | None  # file with the printed values, relative to the paper's folder; None where none are printed
    no_numbers: bool = False  # words, ticks or a sketch: nothing in it can be measured
    notes: tuple[str, ...] = ()  # misprints, conflicts and gaps a reader must know
    spec: Spec = field(default=Spec(), hash=False)  # false where nothing measures it yet

    @property
    def records(self) -> tuple[str, ...]:
        """Patterns of the files that it is made from, relative to a scale's results; without a spec none."""
        if not self.spec:
            return ()
        folder = f"{self.paper}/{self.spec.experiment}"
        return self.spec.records or tuple(f"{folder}/**/*{ending}" for ending in RECORDS)
