"""Edits, as a section of the config."""

from pydantic import Field

from deqbench.config.strict import Strict
from deqbench.experiments.decoder_inversion.shared import NoiseInversion
from deqbench.experiments.named import InverterName, ModelName
from deqbench.experiments.stage import Section


class Edited(Strict):
    """The edited images of one model."""

    images: int = Field(ge=2, description="images edited")
    inverters: list[InverterName] = Field(description="decoder inverters beside the baseline")
    iterations: int = Field(ge=1, description="of the baseline; the others get as many as take its seconds")
    baseline: InverterName = Field(description="the gradient-based inverter whose seconds the others are given")
    inversion: NoiseInversion = Field(NoiseInversion(), description="the way to the trajectory")
    steps: int | None = Field(None, ge=1, le=1000, description="DDIM steps; none: the model's")
    timed: int = Field(3, ge=1, description="repeats that an iteration's seconds are measured in")
    shown: int = Field(3, ge=0, description="images shown")


class Editing(Strict):
    """Edits that keep the background. Source: figure S3."""

    models: dict[ModelName, Edited] = Field(min_length=1)


SECTIONS = {"": Section(Editing)}
