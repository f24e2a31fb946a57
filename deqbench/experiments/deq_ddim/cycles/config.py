"""Long joint solves, as a section of the config, by data set."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Count, Strict
from deqbench.experiments.named import DatasetName, MethodName
from deqbench.experiments.stage import Section


class Cycles(Strict):
    """Long joint solves, to see whether they settle."""

    methods: list[MethodName] = Field(min_length=1)
    runs: dict[Count, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    rounds: int = Field(200, ge=20)


SECTIONS = {"": Section(dict[DatasetName, Cycles])}
