"""Times by the number of workers, as a section of the config, by data set."""

from pydantic import Field

from deqbench.config.strict import Count, Steps, Strict
from deqbench.experiments.named import DatasetName, MethodName
from deqbench.experiments.stage import Section


class Workers(Strict):
    """Time against the number of workers that share a round's evaluations."""

    method: MethodName
    T: Steps
    workers: list[Count] = Field(min_length=2)
    repeats: int = Field(3, ge=2)


SECTIONS = {"": Section(dict[DatasetName, Workers])}
