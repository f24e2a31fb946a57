"""The gradient-free loop: E(D(z)) - E(x), and what a method makes of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import OnStep, Step

Update = Callable[[int, Tensor, Tensor], Tensor]  # of iteration k, z and its residual: the next z


def lengths(states: Tensor) -> Tensor:
    """(B,) float32, the 2-norm of each of (B, *dims)."""
    return states.float().flatten(1).norm(dim=1)


def told(on_step: OnStep | None, step: Step) -> bool:
    """Whether the caller wants the run to stop here."""
    return on_step is not None and bool(on_step(step))


@torch.no_grad()
def descend(
    codec: Codec, x: Tensor, z: Tensor | None, update: Update, *, iterations: int, on_step: OnStep | None
) -> Tensor:
    """The last z of z <- update(k, z, E(D(z)) - E(x)), k = 0, 1, ..., from z (None: E(x)).

    x: (B, 3, H, W), z: (B, c, h, w), frames alike. A Step is told once its residual is known: the one of iteration k
    comes with the work of iteration k + 1 done, and the last one bears no residual. Source: Eq. 4.
    """
    code = codec.encode(x)
    z = code.clone() if z is None else z.to(codec.state).clone()
    for k in range(iterations):
        residual = codec.again(z).sub_(code)
        if told(on_step, Step(k, z, lengths(residual))):
            return z
        z = update(k, z, residual)
    told(on_step, Step(iterations, z))
    return z
