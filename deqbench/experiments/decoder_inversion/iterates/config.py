"""Studies of the iterates themselves, as sections of the config: cocoercivity, theorems, precision."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from deqbench.config.strict import Name, Strict
from deqbench.decoder_inversion import Precision
from deqbench.experiments.named import InverterName, ModelName
from deqbench.experiments.stage import Section

Figure = Literal["figure-2", "figure-4", "figure-s4"]  # forward steps and inertial KM; Adam; gradient-based


class Followed(Strict):
    """Runs whose iterates are kept."""

    inverters: list[InverterName] = Field(min_length=1)
    iterates: int = Field(
        ge=1, description="the convergence is measured at this iterate; the smallest ratio is up to it"
    )
    limit: int = Field(ge=2, description="the iterate that stands for the limit")

    @model_validator(mode="after")
    def _fits(self) -> "Followed":
        if self.iterates >= self.limit:
            raise ValueError(f"expected iterates before the limit {self.limit}; found {self.iterates}")
        return self


class Cocoercivity(Strict):
    """Cocoercivity along the iterates against convergence. Source: figures 2, 4 and S4."""

    models: list[ModelName] = Field(min_length=1, description="theorems and precision are studied on these too")
    instances: int = Field(100, ge=4, description="test targets, all in one batch")
    figures: dict[Figure, Followed] = Field(description="runs by exhibit; all three")

    @model_validator(mode="after")
    def _all_three(self) -> "Cocoercivity":
        if lacking := [name for name in get_args(Figure) if name not in self.figures]:
            raise ValueError(f"expected runs of {', '.join(get_args(Figure))}; found none of {', '.join(lacking)}")
        return self


FOLLOWED = ["forward-printed", "forward-converging", "forward-large", "km-printed", "km-mild", "km-converging"]


class Theorems(Strict):
    """The theorems' conditions and rates, and the remarks, on runs. Source: sections 3.1 to 3.3."""

    inverters: list[InverterName] = Field(
        FOLLOWED, min_length=1, validate_default=True, description="methods `forward` and `inertial` only"
    )
    iterations: int = Field(ge=2, description="where figure-2 has as many, its runs are taken")
    zero: InverterName = Field(
        "anderson-followed",
        validate_default=True,
        description="the method whose last iterate stands for the zero z* of T",
    )
    zero_iterations: int = Field(ge=2, description="of that method: more than bring it to rounding errors")


class PixelGradient(Strict):
    """A gradient of the squared pixel error, and where it is rounded."""

    precision: Precision = Field("fp32", description="of the network")
    state: Precision = Field("fp32", description="of latent, error and Adam's state")
    mean: bool = Field(False, description="error averaged over an image's values instead of summed")
    scale: float = Field(1.0, gt=0, description="of the loss, taken off the gradient afterwards")


VARIANTS = {
    "fp32": PixelGradient(),
    "bf16": PixelGradient(precision="bf16", state="bf16"),
    "bf16-mean": PixelGradient(precision="bf16", state="bf16", mean=True),
    "fp16": PixelGradient(precision="fp16", state="fp16"),
    "fp16-mean": PixelGradient(precision="fp16", state="fp16", mean=True),
    "fp16-mean-scaled": PixelGradient(precision="fp16", state="fp16", mean=True, scale=1024.0),
    "fp16-wide-state": PixelGradient(precision="fp16", mean=True, scale=1024.0),
}


class HalfPrecision(Strict):
    """Gradients and iterates in half precision. Source: figure 3's caption, table S1."""

    images: int = Field(8, ge=2, description="test targets whose gradients are taken")
    variants: dict[Name, PixelGradient] = Field(
        VARIANTS, description="by name; one with the name of a precision is timed"
    )
    updates: int = Field(20, ge=1, description="of Adam by each gradient")
    lr: float = Field(0.01, gt=0)
    inverters: list[InverterName] = Field(min_length=1, description="whose iterates are followed")
    instances: int = Field(8, ge=2, description="test targets of these")
    iterations: int = Field(ge=1)
    at: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, description="iterations in the table")
    repeats: int = Field(3, ge=2, description="timed passes of E after D, precisions taking turns")


SECTIONS = {"": Section(Cocoercivity), "theorems": Section(Theorems), "precision": Section(HalfPrecision)}
