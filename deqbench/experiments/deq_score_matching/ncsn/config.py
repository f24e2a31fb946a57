"""Noise-conditional score networks, their trainings, samples and costs, as a section of the config."""

from typing import Any, Literal

from pydantic import Field

from deqbench import zoo
from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.deq_score_matching.layers import Layer, Objective
from deqbench.experiments.named import DatasetName, one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation


class Network(Layer):
    """A network of table 8: (a), (b), or (b) with a plain residual block in the equilibrium's place."""

    variant: Literal["ncsn", "two-res", "deq"]

    @property
    def options(self) -> dict[str, Any]:
        """Options of deqbench.score_matching.ncsn.network."""
        return {"cell": self.cell, **self.solve} if self.variant == "deq" else {}


class Size(Strict):
    """Images of noise on which steps are timed and bytes are counted."""

    dataset: DatasetName = Field(description="the data set beside which the costs stand")
    shape: tuple[Count, Count, Count] = Field(description="channels, height, width")
    batches: list[Count] = Field(min_length=2, description="the first is timed; bytes an image are the slope of all")
    width: Count = Field(description="n of these networks")


class Costs(Strict):
    """Costs of a training step, and images that fit a budget of bytes."""

    sizes: list[Size] = Field(min_length=1)
    repeats: int = Field(3, ge=2, description="measured steps, networks taking turns")
    printed_width: Count = Field(128, description="n to which bytes an image are projected")
    budget_gb: float = Field(40.0, gt=0, description="10^9 bytes into which a step's saved tensors must go")


class Sampler(Strict):
    """Annealed Langevin dynamics."""

    steps: Count = Field(100, description="at each level")
    rate: float = Field(2e-5, gt=0, description="epsilon: the step at the last level")
    draws: int = Field(200, ge=20, description="images behind a Frechet distance")
    denoise: bool = Field(False, description="end with the mean by Tweedie's formula; the paper does not say so")


class Training(Strict):
    """Trainings of all networks."""

    optimisation: Optimisation
    seeds: list[int] = Field(min_length=1)
    shares: list[Count] = Field([10, 50, 100], description="percent of the training after which it is measured")
    slices: Count = Field(4, description="directions of an image behind a test loss")


class Workers(Strict):
    """Seconds of a step whose batch is shared by so many processes."""

    dataset: DatasetName
    networks: list[Name] = Field(min_length=1)
    counts: list[Count] = Field([1, 2], min_length=2)
    shape: tuple[Count, Count, Count]
    width: Count
    batch: Count
    repeats: int = Field(3, ge=2)


class Ncsn(Strict):
    """Noise-conditional score networks. Source: section 4.4."""

    datasets: list[DatasetName] = Field(min_length=1)
    width: Count = Field(description="n of the networks that are trained; printed: 128")
    levels: int = Field(10, ge=2, description="of noise, a geometric sequence")
    largest: float = Field(1.0, gt=0, description="standard deviation, images in [0, 1]")
    smallest: float = Field(0.1, gt=0)
    objective: Objective = "ssm-vr"
    networks: dict[Name, Network] = Field(min_length=1)
    shipped: dict[Name, Name] = Field({}, description="models of the zoo that stand for networks at the training's end")
    costs: Costs
    training: Training
    sampler: Sampler
    workers: Workers


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for a timed or shipped network that is not among those named."""
    section: Ncsn = scope.section
    for name, model in section.shipped.items():
        one_of(f"{scope.key}.shipped", name, section.networks)
        one_of(f"{scope.key}.shipped.{name}", model, zoo.models())
    for name in section.workers.networks:
        one_of(f"{scope.key}.workers.networks", name, section.networks)


SECTIONS = {"": Section(Ncsn, check)}
