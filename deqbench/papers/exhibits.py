"""A table or figure of a paper, or a study beside them, in our words."""

from dataclasses import dataclass, field
from typing import Literal

from deqbench.papers.spec import Spec

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
        return self.spec.records or (f"{self.paper}/{self.spec.experiment}/**/*",)
