"""Long joint solves, as a section of the config, by data set."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Cycles(Strict):
    """Long joint solves, to see whether they settle."""

    methods: list[Name] = Field(min_length=1)
    runs: dict[Count, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    rounds: int = Field(200, ge=20)


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    for dataset, share in scope.section.items():
        one_of(scope.key, dataset, scope.config.datasets)
        for method in share.methods:
            one_of(f"{scope.key}.{dataset}.methods", method, scope.shared.methods)


SECTIONS = {"": Section(dict[Name, Cycles], check)}
