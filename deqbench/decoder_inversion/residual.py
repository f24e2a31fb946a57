"""The gradient-free loop: E(D(z)) - E(x), and what a method makes of it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate

Update = Callable[[int, Tensor, Tensor], Tensor]  # of iteration k, z and its residual: the next z


def lengths(states: Tensor) -> Tensor:
    """(B,) float32, the 2-norm of each of (B, *dims)."""
    return states.float().flatten(1).norm(dim=1)


@torch.no_grad()
def descend(codec: Codec, x: Tensor, z: Tensor | None, update: Update, *, iterations: int) -> Iterator[Iterate]:
    """The iterates of z <- update(k, z, E(D(z)) - E(x)), k = 0, 1, ..., from z (None: E(x)).

    x: (B, 3, H, W), z: (B, c, h, w), frames alike. One is yielded once its residual is known: that of iteration k comes
    with the work of iteration k + 1 done, and the last one bears no residual. Source: Eq. 4.
    """
    code = codec.encode(x)
    z = code.clone() if z is None else z.to(codec.state).clone()
    for k in range(iterations):
        residual = codec.encode_decode(z).sub_(code)
        yield Iterate(z=z, residual=lengths(residual))
        z = update(k, z, residual)
    yield Iterate(z=z)
