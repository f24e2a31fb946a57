"""Watermarks and editing, as sections of the config."""

from collections.abc import Container, Iterator
from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Name, Strict

Named = Iterator[tuple[str, str, Container[str]]]
Guidance = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
ORACLE = "oracle"  # the row that is given the true latents


class NoiseInversion(Strict):
    """How x_T is sought from z_0."""

    iterations: int = Field(1, ge=1, description="of each step's equation; 1 is naive DDIM inversion")
    damping: float = Field(1.0, gt=0, le=1, description="share of each iteration's move that is made")
    tol: float = Field(1e-6, ge=0, description="relative residual below which a step is solved")
    guided: bool = Field(True, description="with the class and the guidance that made the latents, else without both")
    images: int | None = Field(None, ge=2, description="only so many images; none: all")


class Watermarked(Strict):
    """The marked images of one model."""

    images: int = Field(ge=6, description="marked images for each guidance; the keys take turns")
    steps: int | None = Field(None, ge=1, le=1000, description="DDIM steps; none: the model's")
    guidance: dict[Guidance, dict[Name, Count]] = Field(
        min_length=1, description="by guidance, the iterations of each decoder inverter"
    )
    inversions: list[Name] = Field(min_length=1, description="ways from z_0 to x_T")
    timed: int = Field(0, ge=0, description="images timed one at a time, and looked at for memory")
    timed_guidance: Guidance | None = Field(None, description="the guidance that is timed; none: the first one")
    timed_inversion: Name | None = Field(None, description="the way to x_T that is timed; none: the first one")

    @property
    def timed_at(self) -> tuple[float, str]:
        """Guidance and way to x_T of the timed images."""
        first = next(iter(self.guidance))
        chosen = first if self.timed_guidance is None else self.timed_guidance
        return chosen, self.timed_inversion or self.inversions[0]


class Watermark(Strict):
    """Tree-ring keys told apart from inverted latents. Source: table 2, figures S1 and S2."""

    keys: int = Field(3, ge=2, description="keys to choose between")
    radius: int = Field(3, ge=1, description="frequencies that the rings reach")
    symmetric: bool = Field(True, description="keys that real noise can hold; the released code's lose half")
    inversions: dict[Name, NoiseInversion] = Field(min_length=1)
    models: dict[Name, Watermarked] = Field(min_length=1)
    encoder: Name = Field("encoder", description="the inverter that others are compared with, image by image")
    gradient: Name = Field(description="the gradient-based inverter that others are compared with")
    shown: int = Field(3, ge=0, description="images whose recovered rings are shown")

    def names(self, models: Container[str], inverters: Container[str]) -> Named:
        """Key, name found and names known of everything that the section refers to."""
        for model, found in self.models.items():
            yield "models", model, models
            for guidance, named in found.guidance.items():
                yield from ((f"models.{model}.guidance.{guidance:g}", name, inverters) for name in named)
            ways = [*found.inversions, *([found.timed_inversion] if found.timed_inversion else [])]
            yield from ((f"models.{model}.inversions", name, self.inversions) for name in ways)
            chosen = {f"{guidance:g}" for guidance in found.guidance}
            yield f"models.{model}.timed_guidance", f"{found.timed_at[0]:g}", chosen
        yield from ((key, getattr(self, key), inverters) for key in ("encoder", "gradient"))


class Edited(Strict):
    """The edited images of one model."""

    images: int = Field(ge=2, description="images edited")
    inverters: list[Name] = Field(description="decoder inverters beside the baseline")
    iterations: int = Field(ge=1, description="of the baseline; the others get as many as take its seconds")
    baseline: Name = Field(description="the gradient-based inverter whose seconds the others are given")
    inversion: NoiseInversion = Field(description="the way to the trajectory")
    steps: int | None = Field(None, ge=1, le=1000, description="DDIM steps; none: the model's")
    timed: int = Field(3, ge=1, description="repeats that an iteration's seconds are measured in")
    shown: int = Field(3, ge=0, description="images shown")


class Editing(Strict):
    """Edits that keep the background. Source: figure S3."""

    models: dict[Name, Edited] = Field(min_length=1)

    def names(self, models: Container[str], inverters: Container[str]) -> Named:
        """Key, name found and names known of everything that the section refers to."""
        for model, found in self.models.items():
            yield "models", model, models
            yield from ((f"models.{model}.inverters", name, inverters) for name in found.inverters)
            yield f"models.{model}.baseline", found.baseline, inverters
