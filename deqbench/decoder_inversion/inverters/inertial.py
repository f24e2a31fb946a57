"""Inertial Krasnoselskii-Mann iterations. Source: Eqs. 10 and 11."""

from collections.abc import Iterator

import torch
from torch import Tensor

from deqbench.bounds import Decay, Positive
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate
from deqbench.decoder_inversion.residual import lengths


@torch.no_grad()
def invert(
    codec: Codec, x: Tensor, z: Tensor | None, *, iterations: int, alpha: Decay = 0.9, step: Positive = 0.001
) -> Iterator[Iterate]:
    """The iterates of `iterations` of y = z + alpha (z - z_before), z <- y - step (E(D(y)) - E(x)).

    step: 2 lambda beta. alpha in [0, 1): 0 is the forward step, whose residuals are those at z. The residual is known
    at y, so that the iterates bear none after the first one.
    """
    code = codec.encode(x)
    z = code.clone() if z is None else z.to(codec.state).clone()
    before = z
    for k in range(iterations):
        y = z.add(z - before, alpha=alpha)
        residual = codec.encode_decode(y).sub_(code)
        yield Iterate(z=z, residual=lengths(residual) if k == 0 or alpha == 0 else None)
        before, z = z, y.sub_(residual, alpha=step) if k and alpha else y.sub(residual, alpha=step)
    yield Iterate(z=z)
