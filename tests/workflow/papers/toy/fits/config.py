"""The section of the config."""

from deqbench.config.strict import Name, Strict
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation


class Fits(Strict):
    """Which data set's mean is learnt, on which splits, and how."""

    dataset: Name
    splits: list[int]
    methods: dict[Name, Optimisation]


def check(scope: Scope) -> None:
    """ValueError for a data set that is not there."""
    if scope.section.dataset not in scope.config.datasets:
        raise ValueError(f"@{scope.key}.dataset@expected a data set; found '{scope.section.dataset}'")


SECTIONS = {"": Section(Fits, check)}
