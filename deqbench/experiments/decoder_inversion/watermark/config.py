"""Watermarks, as a section of the config."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Name, Strict
from deqbench.experiments.decoder_inversion.shared import NoiseInversion, known
from deqbench.experiments.named import InverterName, ModelName
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section

Guidance = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Watermarked(Strict):
    """The marked images of one model."""

    images: int = Field(ge=6, description="marked images for each guidance; the keys take turns")
    steps: int | None = Field(None, ge=1, le=1000, description="DDIM steps; none: the model's")
    guidance: dict[Guidance, dict[InverterName, Count]] = Field(
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
    models: dict[ModelName, Watermarked] = Field(min_length=1)
    encoder: InverterName = Field(
        "encoder", validate_default=True, description="the inverter that others are compared with, image by image"
    )
    gradient: InverterName = Field(
        "gradient-paper", validate_default=True, description="the gradient-based inverter that others are compared with"
    )
    shown: int = Field(3, ge=0, description="images whose recovered rings are shown")


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name or guidance that is not there."""
    section: Watermark = scope.section
    for model, marked in section.models.items():
        ways = [*marked.inversions, *([marked.timed_inversion] if marked.timed_inversion else [])]
        known(scope, f"models.{model}.inversions", ways, section.inversions)
        chosen = {f"{guidance:g}" for guidance in marked.guidance}
        known(scope, f"models.{model}.timed_guidance", [f"{marked.timed_at[0]:g}"], chosen)


SECTIONS = {"": Section(Watermark, check), "guidance": None}  # the latter's records are the watermarks' too
