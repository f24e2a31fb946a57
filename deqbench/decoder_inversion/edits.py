"""Edits of latents inside a known mask, along the states of a chain. Source: appendix A.2.3."""

import torch
from torch import Tensor

from deqbench.decoder_inversion.latent_models import LatentModel


def in_pixels(mask: Tensor, x: Tensor) -> Tensor:
    """(H, W) bool: a mask of latents over the images x (..., H, W)."""
    factor = x.shape[-1] // mask.shape[-1]
    return mask.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


@torch.no_grad()
def edited(model: LatentModel, states: list[Tensor], labels: Tensor, mask: Tensor) -> Tensor:
    """z_0 (B, c, h, w) of chains with other classes (B,) inside the mask, and the given states outside it.

    states: of the original chains, x_T first, each (B, c, h, w); after every step they are put back where mask (h, w)
    is False.
    """
    chain = model.chain(states[0], labels)
    z = states[0]
    for j, original in enumerate(states[1:]):
        z = torch.where(mask, chain.step(z, j), original)
    return z
