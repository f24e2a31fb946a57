"""Bytes of iterations and frames that fit, as sections of the config."""

from pydantic import Field

from deqbench.config.strict import Count, Strict
from deqbench.experiments.named import ModelName
from deqbench.experiments.stage import Section


class CodecMemory(Strict):
    """Peak bytes by resolution and batch."""

    models: list[ModelName] = Field(min_length=1, description="frames are counted on these too")
    pixels: list[Count] = Field(min_length=1, description="sides of square images, one at a time")
    batches: list[Count] = Field([], description="images at once, at the smallest side")


class Frames(Strict):
    """Frames of video that fit a budget of bytes. Source: abstract."""

    pixels: int = Field(256, ge=8, description="side of a frame")
    counts: list[Count] = Field([1, 2, 3], min_length=2, description="frames at once behind the line")
    held_out: int = Field(6, ge=1, description="frames at which the line is checked")
    budget_gib: float = Field(24.0, gt=0, description="of the paper's card")


SECTIONS = {"": Section(CodecMemory), "frames": Section(Frames)}
