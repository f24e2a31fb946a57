"""Times and memory by batch size, as a section of the config, by data set."""

from pydantic import Field

from deqbench.config.strict import Count, Name, Steps, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Costs(Strict):
    """Times and memory of methods at several batch sizes, predicted from calibration images and measured on others."""

    methods: list[Name] = Field(min_length=2, description="the sequential method first")
    T: Steps
    images: list[Count] = Field(min_length=1, description="images solved together")
    calibration: int = Field(2, ge=1, description="runs on calibration images behind a prediction")
    repeats: int = Field(3, ge=2, description="measured runs, methods taking turns")
    devices: list[Count] = Field([16, 64, 256], description="projected devices: so many images cost what one costs")


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    for dataset, share in scope.section.items():
        one_of(scope.key, dataset, scope.config.datasets)
        for method in share.methods:
            one_of(f"{scope.key}.{dataset}.methods", method, scope.shared.methods)


SECTIONS = {"": Section(dict[Name, Costs], check)}
