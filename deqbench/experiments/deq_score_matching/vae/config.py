"""The VAE's score networks, their trainings and costs, as a section of the config."""

from typing import Any, Literal

from pydantic import Field

from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.deq_score_matching.layers import Layer, Objective
from deqbench.experiments.named import DatasetName, one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation


class Score(Layer):
    """A score network: what stands before its strided convolutions."""

    preprocessing: Literal["none", "augmented", "deq"] = "none"
    layers: Count = Field(8, description="convolutions added, where it is augmented")

    @property
    def options(self) -> dict[str, Any]:
        """Options of deqbench.score_matching.vae.ScoreNetwork."""
        own: dict[str, Any] = {"preprocessing": self.preprocessing, "layers": self.layers}
        return {**own, "cell": self.cell, **self.solve} if self.preprocessing == "deq" else own


class Size(Strict):
    """Images of noise on which steps are timed and bytes are counted."""

    dataset: DatasetName = Field(description="the data set beside which the costs stand")
    shape: tuple[Count, Count, Count] = Field(description="channels, height, width")
    batch: Count
    width: Count | None = Field(None, description="m of these networks [the section's]")


class Costs(Strict):
    """Costs of a training step."""

    sizes: list[Size] = Field(min_length=1)
    repeats: int = Field(5, ge=2, description="measured steps, networks taking turns")


class Frozen(Strict):
    """Score networks on one encoder that stays."""

    networks: list[Name] = Field(min_length=1)
    noise: float = Field(
        0.0,
        ge=0,
        description="standard deviation of noise added to the codes: those of an implicit "
        "encoder lie near a surface, about which their score is as large as they are near",
    )
    encoder: Optimisation = Field(description="joint training with the plain network, whose encoder is kept")
    training: Optimisation
    rates: list[float] = Field(min_length=1, description="learning rates tried, the same for all networks")
    seeds: list[int] = Field(min_length=1)
    codes: Count = Field(4, description="of each test image")


class Joint(Strict):
    """Encoder, decoder and score network trained together."""

    networks: list[Name] = Field(min_length=1)
    optimisation: Optimisation
    seeds: list[int] = Field(min_length=1)
    shares: list[Count] = Field([10, 50, 100], description="percent of the training after which it is measured")
    draws: int = Field(200, ge=40, description="images behind a Frechet distance")


class Vae(Strict):
    """VAEs with an implicit encoder. Source: section 4.1."""

    datasets: list[DatasetName] = Field(min_length=1)
    width: Count = Field(description="m, channels of the first convolution")
    latent: Count = Field(description="D_z")
    sigma: float = Field(1.0, gt=0, description="standard deviation of an image about the decoder's")
    objective: Objective = "ssm-vr"
    networks: dict[Name, Score] = Field(min_length=1)
    costs: Costs
    frozen: Frozen
    joint: Joint


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for a network to be trained that is not among those named."""
    section: Vae = scope.section
    for part in ("frozen", "joint"):
        for name in getattr(section, part).networks:
            one_of(f"{scope.key}.{part}.networks", name, section.networks)


SECTIONS = {"": Section(Vae, check)}
