"""Traced joint solves, as a section of the config."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Eta, Name, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section

Runs = dict[int, Annotated[int, Field(ge=2)]]


class Also(Strict):
    """One more method, traced at its own T and for its own number of rounds."""

    runs: Runs = Field(min_length=1, description="images by T")
    rounds: int = Field(ge=1, description="solver steps recorded")


class Chains(Strict):
    """Chains whose joint solve is recorded round by round for one data set."""

    runs: Runs = Field(min_length=1, description="images by T")
    also: dict[Name, Also] = Field({}, description="further methods, at some T only")


class Traces(Strict):
    """The joint residual and the error of x0 over solver steps. Source: DEQ-DDIM, figures 1 and 11."""

    methods: list[Name] = Field(min_length=1)
    eta: list[Eta] = Field([], description="methods are traced at each; none: at their own")
    rounds: int = Field(ge=1, description="solver steps recorded")
    datasets: dict[Name, Chains]


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    section: Traces = scope.section
    for method in section.methods:
        one_of(f"{scope.key}.methods", method, scope.shared.methods)
    for dataset, chains in section.datasets.items():
        one_of(f"{scope.key}.datasets", dataset, scope.config.datasets)
        for method in chains.also:
            one_of(f"{scope.key}.datasets.{dataset}.also", method, scope.shared.methods)


SECTIONS = {"": Section(Traces, check)}
