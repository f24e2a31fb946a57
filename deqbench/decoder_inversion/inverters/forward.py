"""The forward step method: z <- z - rho (E(D(z)) - E(x)). Source: Eq. 8."""

from collections.abc import Iterator

from torch import Tensor

from deqbench.bounds import Positive
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate
from deqbench.decoder_inversion.residual import descend


def invert(codec: Codec, x: Tensor, z: Tensor | None, *, iterations: int, rho: Positive = 1.0) -> Iterator[Iterate]:
    """The iterates of `iterations` steps. rho converges below twice the constant of cocoercivity (theorem 1)."""
    return descend(codec, x, z, lambda _, z, residual: z.sub(residual, alpha=rho), iterations=iterations)
