"""A section's networks made, and their losses at noise of all levels."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.ncsn.config import Network
from deqbench.experiments.deq_score_matching.nets import layer_of, seeded
from deqbench.score_matching import langevin
from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.ncsn import AtLevels, network, perturbed
from deqbench.training.trainer import Batch, Loss


def made(form: Network, channels: int, width: int, levels: int, seed: int) -> nn.Module:
    """A network as the section says."""
    return seeded(lambda: network(form.variant, channels, width, levels, **form.options), seed)


def sigmas_of(job: Any) -> Tensor:
    """The levels of noise of a job, largest first."""
    return langevin.geometric(job.largest, job.smallest, job.levels)


def weighted(
    net: nn.Module, noisy: Tensor, level: Tensor, sigmas: Tensor, form: Network, objective: str, **options: Any
) -> Tensor:
    """sigma^2 times the loss at noisy images of each level, (B,). options: of score_matching_loss; `derivative` only
    where the network has an equilibrium.
    """
    if layer_of(net) is None:
        options = {name: value for name, value in options.items() if name not in ("derivative", "steps")}
    options = {"engine": form.engine, **options}
    scale = sigmas.to(noisy)[level].square()
    return scale * score_matching_loss(
        AtLevels(net, level), noisy, kind=objective, of="score", reduction="none", **options  # type: ignore[arg-type]
    )


def training_loss(sigmas: Tensor, form: Network, objective: str) -> Loss:
    """The mean over images in [-1, 1], taken to [0, 1], with noise of a level each."""

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        noisy, level = perturbed(batch[0] / 2 + 0.5, sigmas, generator)
        return weighted(net, noisy, level, sigmas, form, objective, generator=generator).mean()

    return loss
