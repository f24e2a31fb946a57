"""Ours: encoder steps through the image's own limits, mixed so that the linearised squared pixel error is least.

Three changes to the forward step method, all without gradients. An image file holds nothing beyond [-1, 1], so that
D(z) is cut there too before it is compared: E(cut(D(z))) = E(x) has the true z for a solution even where the decoder
overshoots, and pixels that are cut pull nowhere. The best iterate and the last m are mixed, image by image, with the
weights of sum 1 that make the squared error of the mixed images least, damped by a ridge towards the best: a
Gauss-Newton step in the span of the encoder's steps, for what a step moves in pixels is known from its iterates. And
where encoder steps lead away, as they do where E after D is no contraction, they are shortened and the best iterate
stays: what they moved in pixels still serves the mix.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Positive
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate

SHORTER, LONGER = 0.5, 1.5  # what an encoder step's length is multiplied by after an error that rose, or fell


@dataclass(frozen=True)
class Visited:
    """Of B images: where one iteration of each was."""

    z: Tensor  # (B, c, h, w)
    image: Tensor  # D(z) as compared, (B, 3, H, W)
    step: Tensor  # the encoder's step from there, (B, c, h, w)
    error: Tensor  # squared pixel error, (B,) float32

    def or_other(self, mine: Tensor, other: Visited) -> Visited:
        """Images marked in `mine` (B,) from here, the rest from the other."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("z", "image", "step", "error"))
        return Visited(*(torch.where(_along(mine, a), a, b) for a, b in pairs))


@torch.no_grad()
def invert(
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    *,
    iterations: int,
    m: Count = 8,
    rho: Positive = 1.0,
    ridge: NonNegative = 0.001,
    cut: bool = True,
) -> Iterator[Iterate]:
    """The iterates, each for one D and one E; an image whose last known step raised its error stands at its best.

    m: last iterates mixed with the best; 1 leaves forward steps of size rho while errors fall. ridge: share of the
    differences' squared lengths added to them. cut: whether images are taken to be cut to [-1, 1]; where x itself goes
    beyond they are not.
    """
    code = codec.encode(x)
    z = code.clone() if z is None else z.to(codec.state).clone()
    limit = 1.0 if cut and float(x.abs().max()) <= 1 else float("inf")
    window: deque[Visited] = deque(maxlen=m)
    best: Visited | None = None
    fell, length = torch.ones(len(x), dtype=torch.bool, device=x.device), torch.ones(len(x), device=x.device)
    for _ in range(iterations):
        image = codec.decode(z).clamp(-limit, limit)
        step = codec.encode(image).sub_(code).mul_(-rho)
        now = Visited(z, image, step, (image - x).float().square().flatten(1).sum(1))
        stand = now if best is None else now.or_other(fell, best)
        yield Iterate(z=stand.z, loss=stand.error if limit == float("inf") else None)
        if best is not None:
            fell = now.error < best.error  # an error that is not finite counts as one that rose
            length = torch.where(fell, (length * LONGER).clamp_max(1), length * SHORTER)
        best = now if best is None else now.or_other(fell, best)
        window.append(now)
        z = mixed(best, window, x, ridge, length)
    yield Iterate(z=z if best is None else torch.where(_along(fell, z), z, best.z))


def mixed(best: Visited, window: Iterable[Visited], x: Tensor, ridge: float, length: Tensor) -> Tensor:
    """The mix of iterates and their steps, times `length` (B,), with each image's own weights: (B, c, h, w)."""
    moved = torch.stack([(other.image - best.image).float().flatten(1) for other in window], 2)  # (B, P, n)
    gram = (moved.mT @ moved).double()
    right = -(moved.mT @ (best.image - x).float().flatten(1)[:, :, None]).double()
    damping = ridge * gram.diagonal(dim1=1, dim2=2) + torch.finfo(torch.float32).tiny  # the best itself may be in there
    weights = torch.linalg.solve_ex(gram + torch.diag_embed(damping), right)[0][:, :, 0]
    weights = weights.nan_to_num(0.0, 0.0, 0.0).to(best.z.dtype)  # without a mix where one is not finite
    length = _along(length.to(best.z.dtype), best.z)
    ahead = best.z + length * best.step
    mix = ahead
    for weight, other in zip(weights.T, window, strict=True):
        mix = mix + _along(weight, ahead) * (other.z + length * other.step - ahead)
    return mix


def _along(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, ...), of as many dimensions as `like`."""
    return values.view(-1, *[1] * (like.dim() - 1))
