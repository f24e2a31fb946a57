"""Inversion of a latent-diffusion decoder: z with D(z) = x, without gradients and with."""

from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]

# A CPU's cache holds what these leave: a gradient of 24 images of 64 px takes 0.7 of the time that it takes at once.
CPU_PICTURES = 8


def at_once(device: str, most: int = 64) -> int:
    """Pictures in one call of an autoencoder on a device: `most`, fewer on a CPU."""
    return min(most, CPU_PICTURES) if device == "cpu" else most
