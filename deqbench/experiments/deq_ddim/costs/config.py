"""Times and memory by batch size, as a section of the config, by data set."""

from pydantic import Field

from deqbench.config.strict import Count, Steps, Strict
from deqbench.experiments.named import DatasetName, MethodName
from deqbench.experiments.stage import Section


class Costs(Strict):
    """Times and memory of methods at several batch sizes, predicted from calibration images and measured on others."""

    methods: list[MethodName] = Field(min_length=2, description="the sequential method first")
    T: Steps
    images: list[Count] = Field(min_length=1, description="images solved together")
    calibration: int = Field(2, ge=1, description="runs on calibration images behind a prediction")
    repeats: int = Field(3, ge=2, description="measured runs, methods taking turns")
    devices: list[Count] = Field([16, 64, 256], description="projected devices: so many images cost what one costs")


SECTIONS = {"": Section(dict[DatasetName, Costs])}
