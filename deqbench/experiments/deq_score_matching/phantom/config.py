"""Studies of the phantom gradient, as sections of the config."""

from typing import Annotated, Literal

from pydantic import Field

from deqbench.config.recipes import Equilibrium, Preparation
from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.named import DatasetName, one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation

NETWORKS = ("nice",)  # those of other kinds that builders.py can make


class Matrix(Strict):
    """The weight of a dense block."""

    form: Literal["random", "rank-one"] = Field("random", description="normal entries, or u u' of positive entries")
    bound: float = Field(1.05, gt=1, description="lambda of the normalisation by the Frobenius norm")
    shift: float = Field(0.0, description="added to the biases, on which the slopes of the units depend")


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
    max_iter: Count = Field(400, description="rounds of a solve")


class Unbounded(Strict):
    """The loss by K phantom steps of a density in closed form, whose true loss is 0."""

    sharpness: list[Annotated[float, Field(gt=0)]] = Field(min_length=1, description="values of c")
    steps: list[Count] = Field(min_length=1, description="values of K")


Start = Literal["cold", "previous", "mean", "cache"]


class Followed(Strict):
    """A training by phantom derivatives that is looked at on its way."""

    objective: Literal["sm", "ssm", "ssm-vr"]
    optimisation: Optimisation
    printed: str | None = Field(None, description="its row of table 10")


class Errors(Strict):
    """Phantom against exact derivatives at the weights of a training. Source: appendix C."""

    datasets: list[DatasetName] = Field(min_length=1, description="tables")
    methods: dict[Name, Followed] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1, description="of weights and draws")
    form: Equilibrium = Equilibrium()
    preparation: Preparation = Preparation()
    every: Count = Field(1, description="updates from one look to the next")
    late: float = Field(0.25, gt=0, lt=1, description="share of the updates, at the end, that are told apart")
    kept: Count = Field(32, description="rows of a batch whose errors are kept for the histograms")


class Runaway(Strict):
    """A shipped model, trained on by phantom derivatives until they no longer say anything about its loss."""

    dataset: DatasetName = Field(description="the name under which its records stand")
    model: Name = Field("white-wine-runaway", description="a density of the zoo")
    steps: list[Count] = Field(min_length=1, description="values of K at which its loss is taken again")


class Tolerance(Strict):
    """When a solve ends: by either."""

    tol: float = Field(0.0, ge=0, description="relative")
    atol: float = Field(0.0, ge=0, description="absolute, of the 2-norm of a step")


class Counted(Strict):
    """A trained model of another experiment whose solves are counted."""

    experiment: Name
    network: Name = Field(description="one of NETWORKS")
    weights: str = Field(description="path below the experiment's folder; its card beside it")
    dataset: DatasetName
    printed: str = Field(description="its row of table 10")
    batch: Count = 128
    batches: int = Field(8, ge=2)


class Iterations(Strict):
    """Rounds of Picard's iteration, of the trainings that are followed and of other models. Source: table 10."""

    starts: list[Start] = Field(["cold", "previous", "mean", "cache"], min_length=1)
    tolerances: dict[Name, Tolerance] = Field(min_length=1, description="by name")
    max_iter: Count = 128
    models: dict[Name, Counted] = Field({}, description="by the name of their records")


def _known(scope: Scope) -> None:
    """ValueError: a model is counted of an experiment that this scale lacks, or whose network no builder makes."""
    for name, model in scope.section.models.items():
        one_of(f"{scope.key}.models.{name}.network", model.network, NETWORKS)
        if scope.shared.experiment(model.experiment) is None:
            raise ValueError(
                f"@{scope.key}.models.{name}.experiment@expected one of this scale; found '{model.experiment}'"
            )


SECTIONS = {
    "": Section(Propositions),
    "contraction": Section(Contraction),
    "unbounded": Section(Unbounded),
    "errors": Section(Errors),
    "runaway": Section(Runaway),
    "iterations": Section(Iterations, _known),
}
