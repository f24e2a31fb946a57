"""Anderson acceleration of the forward step, on the same residual as the others."""

from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Positive, Share
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import OnStep, Step
from deqbench.decoder_inversion.residual import told
from deqbench.solvers import solve


class Forward:
    """z -> z - rho (E(D(z)) - E(x)), of all images or of some of them."""

    def __init__(self, codec: Codec, code: Tensor, rho: float) -> None:
        self.codec, self.code, self.rho = codec, code, rho

    def __call__(self, z: Tensor) -> Tensor:
        return z - self.rho * (self.codec.again(z).to(z.dtype) - self.code)

    def select(self, keep: Tensor) -> "Forward":
        """The map of those images, (B',) int64."""
        return Forward(self.codec, self.code[keep], self.rho)


class _Stopped(Exception):
    """The caller's `on_step` ends the solve."""


@torch.no_grad()
def invert(
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    *,
    iterations: int,
    on_step: OnStep | None = None,
    m: Count = 5,
    rho: Positive = 1.0,
    beta: Share = 1.0,
    ridge: NonNegative = 1e-10,
    kind: Literal["I", "II"] = "II",
) -> Tensor:
    """The z after `iterations` evaluations, the last step a plain one: each image is mixed by itself.

    m: evaluations mixed; rho: step of the map that is accelerated; beta, ridge, kind as deqbench.solvers has them. An
    image that is no longer finite stays as it is. Mixing needs float32 or float64, so that a state in half precision is
    kept in float32.
    """
    if not rho > 0:
        raise ValueError(f"rho: expected a positive number; found {rho}")
    code = codec.encode(x)
    code = code if code.dtype == torch.float64 else code.float()
    z = code.clone() if z is None else z.to(code.dtype).clone()
    if iterations == 0:
        told(on_step, Step(0, z))
        return z

    def on_round(*, k: int, state: Tensor, fz: Tensor, indices: Tensor, absolute: Tensor, relative: Tensor) -> None:
        z[indices] = state
        residual = torch.full((len(z),), float("nan"))
        residual[indices.cpu()] = absolute.float() / rho
        if told(on_step, Step(k - 1, z, residual)):
            raise _Stopped
        if k == iterations or not absolute.isfinite().any():
            z[indices] = fz

    options: dict[str, Any] = {"m": m, "beta": beta, "ridge": ridge, "kind": kind}
    try:
        solve(
            Forward(codec, code, rho),
            z.clone(),
            solver="anderson",
            tol=0,
            max_iter=iterations,
            on_round=on_round,
            **options,
        )
    except _Stopped:
        return z
    told(on_step, Step(iterations, z))
    return z
