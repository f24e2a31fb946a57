"""Frames of a video that fit a budget of bytes, and how to cut a video so that it fits. Source: abstract."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.errors import UserError
from deqbench.measure.peaks import peak_bytes


@dataclass(frozen=True)
class Line:
    """Bytes as fixed + per_frame * frames."""

    fixed: float
    per_frame: float

    @classmethod
    def through(cls, counts: list[int], measured: list[int]) -> "Line":
        """The least-squares line through bytes measured at two counts of frames or more."""
        per_frame, fixed = np.polyfit(counts, measured, 1)
        return cls(float(fixed), float(per_frame))

    def at(self, frames: int) -> float:
        """Bytes of so many frames."""
        return self.fixed + self.per_frame * frames

    def fitting(self, budget_bytes: float) -> int:
        """The most frames within the budget, 0 where not even one fits."""
        # A count that fits exactly may lie a rounding error below itself.
        return max(0, int((budget_bytes - self.fixed) / self.per_frame + 1e-9))


def iteration(codec: Codec, family: str, x: Tensor, z: Tensor) -> Tensor:
    """The result of one iteration: E(x), E(D(z)) or the gradient of the squared pixel error with respect to z.

    x: (B, 3, H, W), z: (B, c, h, w), or frames of both; the result has the shape of z.
    """
    if family == "gradient":
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            loss = (codec.decode(leaf) - x).square().sum()
            return torch.autograd.grad(loss, leaf)[0]
    with torch.no_grad():
        return codec.encode(x) if family == "encoder" else codec.encode_decode(z)


def line_of(codec: Codec, x: Tensor, *, gradient: bool = False, counts: tuple[int, ...] = (1, 2)) -> Line:
    """Bytes of one iteration on the first frames of x (F, 3, H, W), by the number of frames passed through at once.

    gradient: of a gradient-based iteration instead of a gradient-free one. The codec's own `max_batch` must not be
    smaller than the counts.
    """
    with torch.no_grad():
        z = codec.encode(x[: max(counts)])
    family = "gradient" if gradient else "free"
    measure = bytes_of(codec, family, x, z)
    return Line.through(list(counts), [measure(n) for n in counts])


def frames_that_fit(codec: Codec, x: Tensor, budget_bytes: float, *, gradient: bool = False) -> int:
    """The number of frames of x (F, 3, H, W) that an iteration may take within the budget of bytes, weights apart.

    E and D treat frames one by one, so that a codec with this `max_batch` gives what the whole would.
    UserError: not even one fits, or there are none.
    """
    if not len(x):
        raise UserError("frames: expected at least one; found none")
    if len(x) == 1:
        return 1
    line = line_of(codec, x, gradient=gradient)
    count = line.fitting(budget_bytes)
    if not count:
        need = line.at(1) / 2**20
        raise UserError(f"budget: expected at least {need:.0f} MiB for one frame; found {budget_bytes / 2**20:.0f} MiB")
    return min(count, len(x))


def bytes_of(codec: Codec, family: str, x: Tensor, z: Tensor) -> Callable[[int], int]:
    """Peak bytes of one iteration by the number of frames taken of x (F, 3, H, W) and z (F, c, h, w), weights apart."""
    known = [*codec.vae.parameters()]
    return lambda n: peak_bytes(lambda: iteration(codec, family, x[:n], z[:n]), known)["peak"]
