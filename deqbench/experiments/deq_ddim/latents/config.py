"""States of chains after some rounds, as a section of the config."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Name, One, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Shown(Strict):
    """A chain whose states are shown after some rounds."""

    T: int = Field(ge=10)
    every: int = Field(ge=1, description="every which state is shown, with x_0 to x_4")


class Solve(Strict):
    """A joint solve cut after some rounds."""

    method: Name
    rounds: int = Field(ge=1)


class Latents(Solve):
    """States of the chain after a few solver steps. Source: DEQ-DDIM, figures 2, 10 and 18."""

    also: list[Solve] = Field([], description="further solves of the same chains, each in a row of its own")
    datasets: dict[Name, Annotated[list[Shown], One, Field(min_length=1)]]


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    section: Latents = scope.section
    one_of(f"{scope.key}.method", section.method, scope.shared.methods)
    for solve in section.also:
        one_of(f"{scope.key}.also", solve.method, scope.shared.methods)
    for dataset in section.datasets:
        one_of(f"{scope.key}.datasets", dataset, scope.config.datasets)


SECTIONS = {"": Section(Latents, check)}
