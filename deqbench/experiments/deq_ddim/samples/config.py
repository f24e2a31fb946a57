"""Images at several eta, as a section of the config."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Eta, Name, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Samples(Strict):
    """Images from one x_T at several eta. Source: DEQ-DDIM, figures 12 and 13."""

    method: Name
    eta: list[Eta] = Field(min_length=1)
    datasets: dict[Name, Annotated[int, Field(ge=1)]] = Field(description="T by data set")


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    section: Samples = scope.section
    one_of(f"{scope.key}.method", section.method, scope.shared.methods)
    for dataset in section.datasets:
        one_of(f"{scope.key}.datasets", dataset, scope.config.datasets)


SECTIONS = {"": Section(Samples, check)}
