"""The encoder's output, taken as the latent. Source: section 2.2 (A)."""

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import OnStep, Step
from deqbench.decoder_inversion.residual import told


def invert(codec: Codec, x: Tensor, z: Tensor | None, *, iterations: int, on_step: OnStep | None = None) -> Tensor:
    """E(x), or the start z where one is given: there are no iterations."""
    with torch.no_grad():
        z = codec.encode(x) if z is None else z
    told(on_step, Step(0, z))
    return z
