"""Studies beside the paper's exhibits, as sections of the config, by data set: costs, limit cycles, workers."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Name, Steps, Strict

Count = Annotated[int, Field(ge=1)]


class Costs(Strict):
    """Times and memory of methods at several batch sizes, predicted from calibration images and measured on others."""

    methods: list[Name] = Field(min_length=2, description="the sequential method first")
    T: Steps
    images: list[Count] = Field(min_length=1, description="images solved together")
    calibration: int = Field(2, ge=1, description="runs on calibration images behind a prediction")
    repeats: int = Field(3, ge=2, description="measured runs, methods taking turns")
    devices: list[Count] = Field([16, 64, 256], description="projected devices: so many images cost what one costs")


class Cycles(Strict):
    """Long joint solves, to see whether they settle."""

    methods: list[Name] = Field(min_length=1)
    runs: dict[Count, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    rounds: int = Field(200, ge=20)


class Workers(Strict):
    """Time against the number of workers that share a round's evaluations."""

    method: Name
    T: Steps
    workers: list[Count] = Field(min_length=2)
    repeats: int = Field(3, ge=2)
