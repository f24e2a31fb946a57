"""Studies beside the paper's exhibits, as sections of the config, by data set.

Costs, limit cycles and workers of sampling; gradients and memory of inversion.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from deqbench import index
from deqbench.config.strict import Name, Steps, Strict
from deqbench.errors import UserError

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


class Variant(Strict):
    """A gradient of the inversion loss and its settings."""

    gradient: str = Field(description="a module of deqbench.diffusion.gradients, or package.module:function")
    options: dict[str, Any] = Field({}, description="settings of the gradient")
    double: bool = Field(False, description="taken in float64")


def _variant(gradient: str, double: bool = False, **options: Any) -> Variant:
    return Variant(gradient=gradient, options=options, double=double)


COMPARED = {
    "backprop": _variant("backprop"),
    "released": _variant("released", forward="sequential"),
    "phantom-1": _variant("phantom"),
    "phantom-2": _variant("phantom", steps=2),
    "phantom-5": _variant("phantom", steps=5),
    "phantom-5-undamped": _variant("phantom", steps=5, tau=1.0),
    "implicit": _variant("implicit"),
    "implicit-joint": _variant("implicit", forward="joint"),
    "implicit-joint-converged": _variant("implicit", double=True, forward="joint", tol=1e-9, max_iter=100),
    "gmres": _variant("implicit", adjoint="gmres"),
    "gmres-5": _variant("implicit", adjoint="gmres", adjoint_max_iter=5),
    "broyden": _variant("implicit", adjoint="broyden"),
    "broyden-5": _variant("implicit", adjoint="broyden", adjoint_max_iter=5),
    "broyden-10": _variant("implicit", adjoint="broyden", adjoint_max_iter=10),
    "neumann-3": _variant("implicit", adjoint="neumann", adjoint_max_iter=3),
    "neumann-10": _variant("implicit", adjoint="neumann", adjoint_max_iter=10),
}
WEIGHED = {  # few rounds and products: how many there are does not change what lives at once, but for GMRES' own basis
    "backprop": _variant("backprop"),
    "backprop-checkpointed": _variant("backprop", checkpointing=True),
    "released": _variant("released", forward="sequential"),
    "phantom-1": _variant("phantom"),
    "phantom-1-joint": _variant("phantom", forward="joint", tol=0.0, max_iter=6),
    "implicit": _variant("implicit"),
    "gmres": _variant("implicit", adjoint="gmres", adjoint_tol=0.0, adjoint_max_iter=5),
}


def _fitting(variants: dict[str, Variant]) -> dict[str, Variant]:
    for name, variant in variants.items():
        try:
            wrong = index.wrong("diffusion/gradients", variant.gradient, variant.options)
        except UserError as error:
            wrong = str(error)
        if wrong:
            raise ValueError(f"{name}: {wrong}")
    return variants


class Gradients(Strict):
    """Gradients of the inversion loss beside the exact one, at several places of x_T."""

    T: Steps
    images: Count = 2
    starts: list[Literal["noise", "encoding", "part-way"]] = Field(
        ["noise", "encoding", "part-way"],
        min_length=1,
        description="x_T: N(0, I), the encoding, on the way of a descent",
    )
    epochs: Count = Field(20, description="updates by exact gradients from noise to part-way")
    lr: float = Field(0.05, gt=0, description="rate of these updates")
    variants: dict[Name, Variant] = Field(COMPARED, min_length=1, description="by name")

    _fit = field_validator("variants")(_fitting)


class InversionMemory(Strict):
    """Bytes that a gradient, or a whole inversion, of one image takes, against T."""

    T: list[Count] = Field(min_length=2)
    variants: dict[Name, Variant] = Field(WEIGHED, min_length=1, description="gradients by name")
    inverters: list[Name] = Field([], description="of the section inverters; of a descent one update")

    _fit = field_validator("variants")(_fitting)
