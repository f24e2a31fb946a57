"""A section's networks made, and their losses as a training takes them."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.layers import Layer
from deqbench.experiments.deq_score_matching.nets import layer_of, seeded
from deqbench.experiments.deq_score_matching.vae.config import Score
from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.vae import ImplicitVAE, ScoreNetwork, Shape
from deqbench.training.trainer import Batch, Loss

DEAD = 1e-3  # root mean square of a network's answers below which it says nothing


def score_network(score: Score, shape: Shape, latent: int, width: int, seed: int) -> ScoreNetwork:
    """A network as the section says."""
    return seeded(lambda: ScoreNetwork(shape, latent, width, **score.options), seed)


def vae(score: Score, shape: Shape, latent: int, width: int, seed: int) -> ImplicitVAE:
    """Encoder and decoder, the same for each score network, and that network."""
    net: ImplicitVAE = seeded(lambda: ImplicitVAE(shape, latent, width, nn.Identity()), seed)  # type: ignore[arg-type]
    net.score = score_network(score, shape, latent, width, seed + 1)
    return net


def score_loss(net: ScoreNetwork, x: Tensor, z: Tensor, layer: Layer, **options: Any) -> Tensor:
    """The loss of a score network at codes z of images x; options: of score_matching_loss, `derivative` only where the
    network has an equilibrium.
    """
    if layer_of(net) is None:
        options = {name: value for name, value in options.items() if name not in ("derivative", "steps")}
    return score_matching_loss(net.given(x), z, of="score", **{"engine": layer.engine, **options})


def exact(net: ScoreNetwork, x: Tensor, z: Tensor, layer: Layer, **options: Any) -> Tensor:
    """The score-matching loss whose trace is the network's own, by exact derivatives."""
    return score_loss(net, x, z, layer, kind="sm", derivative="exact", engine="jets", **options)


def phantom(net: ScoreNetwork, x: Tensor, z: Tensor, layer: Layer, **options: Any) -> Tensor:
    """The same by the phantom derivatives of the section's K."""
    return score_loss(net, x, z, layer, kind="sm", derivative="phantom", steps=layer.steps, engine="jets", **options)


def joint_loss(score: Score, objective: str, sigma: float) -> Loss:
    """The loss of a VAE: minus the ELBO's surrogate, and the score network's own loss at the codes as constants.

    Each leaves the parameters of the other alone, so that one sum is both updates at once.
    """

    def loss(net: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        z = net.encode(batch[0], generator)
        own = score_loss(net.score, batch[0], z.detach(), score, kind=objective, generator=generator)
        return own - net.surrogate(batch[0], z, sigma).mean()

    return loss
