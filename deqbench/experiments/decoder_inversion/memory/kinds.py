"""The kinds of methods whose bytes are counted, and what they are counted on."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deqbench.decoder_inversion import Precision
from deqbench.decoder_inversion.codec import Codec

WHOLE = 1 << 20  # pictures passed through at once: all of them, as the paper does


@dataclass(frozen=True)
class Kind:
    """One iteration of a method, in a precision."""

    family: str  # encoder, free or gradient
    precision: Precision
    form: str = "plain"  # plain, checkpointed or tiled


KINDS = {
    "encoder": Kind("encoder", "fp32"),
    "encoder-bf16": Kind("encoder", "bf16"),
    "free": Kind("free", "fp32"),
    "free-bf16": Kind("free", "bf16"),
    "free-tiled": Kind("free", "fp32", "tiled"),
    "gradient": Kind("gradient", "fp32"),
    "gradient-bf16": Kind("gradient", "bf16"),
    "gradient-checkpointed": Kind("gradient", "fp32", "checkpointed"),
    "gradient-tiled": Kind("gradient", "fp32", "tiled"),
}


def codec_for(vae: Any, kind: Kind) -> Codec | None:
    """A codec of its own for that kind, or None where the autoencoder cannot be had in that form.

    Parameters keep requires_grad, as autoencoders come; gradients are taken with respect to z alone.
    """
    if kind.form == "plain":
        return Codec(vae, kind.precision, max_batch=WHOLE)
    vae = copy.deepcopy(vae)
    switch = {"checkpointed": "enable_gradient_checkpointing", "tiled": "enable_tiling"}[kind.form]
    if not hasattr(vae, switch):
        return None
    getattr(vae, switch)()
    return Codec(vae, kind.precision, max_batch=WHOLE)


def scaled_sizes(vae: Any) -> tuple[int, int]:
    """Channels of a latent, and pixels of an image to a side of one of its entries."""
    widths = vae.config.get("block_out_channels") or vae.config["encoder_block_out_channels"]
    return int(vae.config["latent_channels"]), 2 ** (len(widths) - 1)


def pair(vae: Any, pixels: int, pictures: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (B, 3, pixels, pixels) and latents of that size to measure on; bytes do not depend on their values."""
    channels, factor = scaled_sizes(vae)
    side = pixels // factor
    z = torch.randn(pictures, channels, side, side, generator=generator)
    return torch.rand(pictures, 3, side * factor, side * factor, generator=generator) * 2 - 1, z
