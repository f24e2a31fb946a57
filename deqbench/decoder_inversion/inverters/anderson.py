"""Anderson acceleration of the forward step, on the same residual as the others."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Positive, Share
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate
from deqbench.solvers import iterate


class Forward:
    """z -> z - rho (E(D(z)) - E(x)), of all images or of some of them."""

    def __init__(self, codec: Codec, code: Tensor, rho: float) -> None:
        self.codec, self.code, self.rho = codec, code, rho

    def __call__(self, z: Tensor) -> Tensor:
        return z - self.rho * (self.codec.encode_decode(z).to(z.dtype) - self.code)

    def select(self, keep: Tensor) -> "Forward":
        """The map of those images, (B',) int64."""
        return Forward(self.codec, self.code[keep], self.rho)


@torch.no_grad()
def invert(
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    *,
    iterations: int,
    m: Count = 5,
    rho: Positive = 1.0,
    beta: Share = 1.0,
    ridge: NonNegative = 1e-10,
    kind: Literal["I", "II"] = "II",
) -> Iterator[Iterate]:
    """The iterates of `iterations` evaluations, the last step a plain one: each image is mixed by itself.

    m: evaluations mixed; rho: step of the map that is accelerated; beta, ridge, kind as deqbench.solvers has them. An
    image that is no longer finite stays as it is. Mixing needs float32 or float64, so that a state in half precision is
    kept in float32.
    """
    code = codec.encode(x)
    code = code if code.dtype == torch.float64 else code.float()
    z = code.clone() if z is None else z.to(code.dtype).clone()
    if iterations == 0:
        yield Iterate(z=z)
        return
    options: dict[str, Any] = {"m": m, "beta": beta, "ridge": ridge, "kind": kind}
    start, forward = z.clone(), Forward(codec, code, rho)
    for k, r in enumerate(iterate(forward, start, solver="anderson", tol=0, max_iter=iterations, **options), start=1):
        z[r.samples] = r.active.state
        residual = torch.full((len(z),), float("nan"))
        residual[r.samples.cpu()] = r.absolute.float() / rho
        yield Iterate(z=z, residual=residual)
        if k == iterations or not r.absolute.isfinite().any():
            z[r.samples] = r.active.fz
    yield Iterate(z=z)
