"""Studies of the phantom gradient, as sections of the config."""

from typing import Annotated, Literal

from pydantic import Field

from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.stage import Section


class Matrix(Strict):
    """The weight of a dense block."""

    form: Literal["random", "rank-one"] = Field("random", description="normal entries, or u u' of positive entries")
    bound: float = Field(1.05, gt=1, description="lambda of the normalisation by the Frobenius norm")
    shift: float = Field(0.0, description="added to the block's biases; large: every unit's slope is near 1")


class Propositions(Strict):
    """Derivatives of fixed points of small dense blocks, float64. Source: propositions 1 and 2."""

    features: int = Field(12, ge=2)
    inputs: int = Field(4, ge=1)
    draws: int = Field(ge=2, description="blocks of each form")
    steps: list[Count] = Field(min_length=2, description="values of K, rising")
    matrices: dict[Name, Matrix] = Field(min_length=1, description="by name, the data sets of its records")


class Contraction(Strict):
    """Layers whose weight is normalised, and whether they are contractions. Source: section 3.2."""

    layers: dict[Name, Count | None] = Field(min_length=1, description="side of the kernel by name; none: dense")
    weights: list[Literal["random", "constant"]] = Field(["random", "constant"], min_length=1)
    normalisations: list[Literal["frobenius", "operator"]] = Field(["frobenius", "operator"], min_length=1)
    bounds: list[Annotated[float, Field(gt=1)]] = Field(min_length=1, description="values of lambda")
    draws: int = Field(ge=2)
    features: Count = Field(30, description="of the dense layer")
    channels: Count = Field(8, description="of the convolutions")
    side: Count = Field(16, description="of their images")
    tol: float = Field(1e-6, gt=0, description="relative residual at which a solve has converged")
    max_iter: Count = Field(128, description="rounds of a solve")


class Unbounded(Strict):
    """The loss by K phantom steps of a density in closed form, whose true loss is 0."""

    sharpness: list[Annotated[float, Field(gt=0)]] = Field(min_length=1, description="values of c")
    steps: list[Count] = Field(min_length=1, description="values of K")


SECTIONS = {
    "": Section(Propositions),
    "contraction": Section(Contraction),
    "unbounded": Section(Unbounded),
}
