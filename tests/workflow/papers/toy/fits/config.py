"""The section of the config."""

from deqbench.config.strict import Name, Strict
from deqbench.experiments.named import DatasetName
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation


class Fits(Strict):
    """The data set whose mean is learnt, the splits that it is learnt on, and the ways."""

    dataset: DatasetName
    splits: list[int]
    methods: dict[Name, Optimisation]


SECTIONS = {"": Section(Fits)}
