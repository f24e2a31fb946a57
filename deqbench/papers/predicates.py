"""A claim of a paper as data: what is said, and predicates over table cells that decide whether it is so."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from deqbench.config.strict import Strict
from deqbench.errors import UserError, unknown
from deqbench.papers.spec import Exhibit

Verdict = Literal["reproduced", "contradicted", "inconclusive", "not testable at this scale", "not measured yet"]
Margin = Annotated[float, Field(gt=0)]


class Predicate(Strict):
    """The cells that a predicate looks at, a result a group of them."""

    exhibit: str  # paper/id
    metric: str
    where: dict[str, Any] = Field({})  # keys of the groups, each with its value or values
    optional: bool = False  # a scale without such cells does not leave the claim untested

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods whose cells it names."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics whose cells it names."""
        return (self.metric,)


class OfMethod(Predicate):
    """A predicate on the cells of one method."""

    method: str

    @property
    def methods(self) -> tuple[str, ...]:
        return (self.method,)


class Bounded(OfMethod):
    """A cell's interval against one threshold: of a ratio, a difference, a share or a correlation."""

    kind: Literal["ratio", "difference", "share", "correlation"]
    at_least: int | float | None = None
    at_most: int | float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> "Bounded":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected one of at_least, at_most; found " + ("none" if self.at_least is None else "two"))
        low, high = {"ratio": (0, None), "share": (0, 1), "correlation": (-1, 1)}.get(self.kind, (None, None))
        if (low is not None and self.threshold < low) or (high is not None and self.threshold > high):
            raise ValueError(f"expected a threshold that a {self.kind} can have; found {self.threshold:g}")
        return self

    @property
    def threshold(self) -> float:
        """The bound, whichever it is."""
        return self.at_least if self.at_least is not None else self.at_most or 0


class Cell(Strict):
    """A cell of the same group."""

    method: str
    metric: str


class Equivalence(OfMethod):
    """A cell's interval inside a margin stated beforehand, in the metric's unit or as a share of another cell's value.

    `control` is a known-bad method that must lie outside, or nothing is concluded; only an absolute margin is without.
    """

    kind: Literal["equivalence"]
    margin: Margin | None = None
    margin_share: Margin | None = None
    margin_of: Cell | None = None
    control: str | None = None

    @model_validator(mode="after")
    def _one_margin(self) -> "Equivalence":
        relative = (self.margin_share is not None, self.margin_of is not None)
        if not (relative == (True, True) if self.margin is None else relative == (False, False)):
            raise ValueError("expected margin, or margin_share and margin_of")
        if self.margin is None and self.control is None:
            raise ValueError("expected a control beside margin_share; found none")
        if self.control == self.method:
            raise ValueError(f"expected a control other than the method; found '{self.control}'")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        of = (self.margin_of.method,) if self.margin_of else ()
        return (self.method, *of, *((self.control,) if self.control else ()))

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric, *((self.margin_of.metric,) if self.margin_of else ()))


class Monotone(OfMethod):
    """A cell that rises, or falls, from each value of a key to the next, all other keys equal."""

    kind: Literal["monotone"]
    along: str
    falls: bool = False


class Order(Predicate):
    """Cells of several methods, none below the one before."""

    kind: Literal["order"]
    of: Annotated[tuple[str, ...], Field(min_length=2)]

    @property
    def methods(self) -> tuple[str, ...]:
        return self.of


class Named(OfMethod):
    """A function of deqbench.report.verdicts for what fits no kind; it gives a difference that must be >= 0."""

    kind: Literal["named"]
    function: Literal["nearest"]
    reference: str
    others: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def methods(self) -> tuple[str, ...]:
        return (self.method, self.reference, *self.others)


AnyPredicate = Annotated[Bounded | Equivalence | Monotone | Order | Named, Field(discriminator="kind")]


class Need(Strict):
    """One thing that a claim cannot do without: a device, a data set, or a measure that no scale has."""

    device: str | None = None
    dataset: str | None = None
    measure: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Need":
        if len(self.model_fields_set) != 1:
            raise ValueError("expected one of device, dataset, measure")
        return self


class Claim(Strict):
    """A claim, none of whose words or thresholds come from a run."""

    id: str
    statement: str
    where: str  # in the paper
    evidence: str  # what the paper prints for it
    check: str  # what it amounts to, as a formula
    predicates: tuple[AnyPredicate, ...] = ()
    needs: tuple[Need, ...] = ()


def check(predicate: AnyPredicate, known: Mapping[str, Exhibit], place: str) -> None:
    """UserError: the predicate names cells that no table can fill."""

    def one_of(key: str, names: Iterable[str], among: Iterable[str]) -> None:
        for name in names:
            if name not in among:
                raise unknown(f"{place}.{key}", name, among)

    one_of("exhibit", [predicate.exhibit], known)
    spec = known[predicate.exhibit].spec
    metrics = {metric.id: metric for metric in spec.metrics}
    if not metrics:
        raise UserError(f"{place}.exhibit: expected an exhibit with metrics; found '{predicate.exhibit}'")
    one_of("metric", predicate.metrics, metrics)
    one_of("method", predicate.methods, spec.labels)
    one_of("where", predicate.where, {*spec.group, "printed_row"})
    if isinstance(predicate, Monotone):
        one_of("along", [predicate.along], spec.group)
    metric = metrics[predicate.metric]
    baseline = metric.baseline or spec.baseline
    if metric.comparisons and isinstance(predicate, OfMethod) and predicate.method == baseline:
        raise UserError(f"{place}.method: expected another method than the baseline of {metric.id}; found '{baseline}'")
