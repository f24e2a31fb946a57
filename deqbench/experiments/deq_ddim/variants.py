"""Gradients of the inversion loss and their settings, as parts of the config."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from deqbench.config.strict import Name, Strict
from deqbench.experiments.named import wrong_option


class Variant(Strict):
    """A gradient of the inversion loss and its settings."""

    gradient: str = Field(description="a module of deqbench.diffusion.gradients, or module:function")
    options: dict[str, Any] = Field({}, description="settings of the gradient")
    double: bool = Field(False, description="taken in float64")


def variant(gradient: str, double: bool = False, **options: Any) -> Variant:
    return Variant(gradient=gradient, options=options, double=double)


def _fitting(variants: dict[str, Variant]) -> dict[str, Variant]:
    for name, variant in variants.items():
        if wrong := wrong_option("diffusion/gradients", variant.gradient, variant.options):
            raise ValueError(f"{name}: {wrong}")
    return variants


Variants = Annotated[
    dict[Name, Variant], Field(min_length=1, description="gradients by name"), AfterValidator(_fitting)
]
