"""The encoder's output, taken as the latent. Source: section 2.2 (A)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate


def invert(codec: Codec, x: Tensor, z: Tensor | None, *, iterations: int) -> Iterator[Iterate]:
    """E(x), or the start z where one is given: there are no iterations."""
    with torch.no_grad():
        z = codec.encode(x) if z is None else z
    yield Iterate(z=z)
