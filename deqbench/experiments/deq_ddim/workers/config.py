"""Times by the number of workers, as a section of the config, by data set."""

from pydantic import Field

from deqbench.config.strict import Count, Name, Steps, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Workers(Strict):
    """Time against the number of workers that share a round's evaluations."""

    method: Name
    T: Steps
    workers: list[Count] = Field(min_length=2)
    repeats: int = Field(3, ge=2)


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    for dataset, share in scope.section.items():
        one_of(scope.key, dataset, scope.config.datasets)
        one_of(f"{scope.key}.{dataset}.method", share.method, scope.shared.methods)


SECTIONS = {"": Section(dict[Name, Workers], check)}
