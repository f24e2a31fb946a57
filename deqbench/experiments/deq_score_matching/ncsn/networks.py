"""A section's networks made, and their losses at noise of all levels."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.ncsn.config import Network
from deqbench.experiments.deq_score_matching.nets import seeded
from deqbench.score_matching import langevin
from deqbench.score_matching.ncsn import network, noise_conditional_loss, perturbed
from deqbench.training.trainer import Batch, Loss


def made(form: Network, channels: int, width: int, levels: int, seed: int) -> nn.Module:
    """A network as the section says."""
    return seeded(lambda: network(form.variant, channels, width, levels, **form.options), seed)


def sigmas_of(job: Any) -> Tensor:
    """The levels of noise of a job, largest first."""
    return langevin.geometric(job.largest, job.smallest, job.levels)


def training_loss(sigmas: Tensor, form: Network, objective: str, **further: Any) -> Loss:
    """The mean over images in [-1, 1], taken to [0, 1], with noise of a level each. further: of score_matching_loss."""

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        noisy, level = perturbed(batch[0] / 2 + 0.5, sigmas, generator)
        options = {"kind": objective, "engine": form.engine, "generator": generator, **further}
        return noise_conditional_loss(net, noisy, level, sigmas, **options).mean()

    return loss
