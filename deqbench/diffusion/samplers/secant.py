"""Ours: secant sweeps. Every other round evaluates nodes only, more of them where the chain turns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from deqbench.bounds import MOST, Count, NonNegative, Positive
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.moments import matrix
from deqbench.diffusion.sampled import Round, of_system
from deqbench.solvers.secant import Slopes, secant_sweeps

LEAST = 0.05  # of a slope: sweeps divide by products of them
EARLY = 1.0  # log of noise over signal; above it Jacobians are much alike
APART = 0.4  # in that log, of knots
LARGE = 16  # pixels a side
BLOCK = 8  # pixels a side
GAP = 0.03
LONG = 600  # steps


def sample(
    chain: DDIMChain,
    *,
    tol: NonNegative = 1e-3,
    nodes: Annotated[int, Interval(ge=2, le=MOST)] = 16,
    gap: Positive | None = None,
    coarse_tol: NonNegative = 0.05,
    settle_tol: NonNegative | None = None,
    max_rounds: Count | None = None,
    data_variance: NonNegative = 0.2,
) -> Iterator[Round]:
    """The chain to a predicted relative error of `tol` of x_0; 0 runs to the sequential result.

    nodes, gap, coarse_tol, settle_tol: see secant_sweeps; chains of hardly more than `nodes` steps evaluate all that
    have not settled. gap None: 0.03, and less in chains of more than 600 steps, where nodes cost little.
    data_variance: of a pixel, for the start and the slopes of the first round only.
    """
    transform = BlockDCT.of(chain.x_T)
    swept = secant_sweeps(
        transform.chain(chain),
        replace(slopes(chain, data_variance), apart=None if transform.block == 1 else 1),
        tol=tol,
        nodes=nodes,
        gap=GAP * min(1.0, LONG / chain.steps) if gap is None else gap,
        coarse_tol=coarse_tol,
        settle_tol=settle_tol,
        max_rounds=max_rounds,
    )
    return of_system(swept, back=transform.inverse)


@dataclass(frozen=True)
class BlockDCT:
    """The orthonormal cosine transform of blocks and channels: an image's chain is solved where slopes hold good.

    An image's channels share their edges, so that slopes hold good for their mean and for their differences. In large
    images what a slope depends on is how fast pixels vary, by the cosine transform of blocks; in small ones the place.
    """

    matrix: Tensor | None  # (C block^2, C block^2); None: images stay as they are
    block: int

    @classmethod
    def of(cls, x_T: Tensor) -> "BlockDCT":
        """The transform that fits x_T."""
        if x_T.ndim != 4:
            return cls(None, 1)
        channels, *sides = x_T.shape[1:]
        block = gcd(BLOCK, *sides) if min(sides) >= LARGE else 1
        whole = torch.kron(matrix(channels), torch.kron(matrix(block), matrix(block))).to(x_T)
        return cls(None if len(whole) == 1 else whole, block)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C, H, W) -> (..., C block^2, H / block, W / block)."""
        if self.matrix is None:
            return x
        blocks = pixel_unshuffle(x, self.block)
        return (self.matrix @ blocks.flatten(-2)).view_as(blocks)

    def inverse(self, x: Tensor) -> Tensor:
        """The inverse."""
        return x if self.matrix is None else pixel_shuffle((self.matrix.T @ x.flatten(-2)).view_as(x), self.block)

    def chain(self, chain: DDIMChain) -> DDIMChain:
        """The same chains, their states transformed."""

        def eps_model(x: Tensor, t: Tensor) -> Tensor:
            return self.forward(chain.eps_model(self.inverse(x), t))

        noise = None if chain.noise is None else self.forward(chain.noise)
        return replace(chain, eps_model=eps_model, x_T=self.forward(chain.x_T), noise=noise)


def slopes(chain: DDIMChain, data_variance: float) -> Slopes:
    """Derivatives of the steps: of Gaussian data with one variance, and bounds.

    eps = x sqrt(1 - alpha_bar) / (alpha_bar v + 1 - alpha_bar) for data N(0, v I); v = 0 is a known image, and infinite
    v known noise. A chain undecided between images parts faster than with known noise, so the upper bound lies as far
    beyond that again.
    """
    before = chain.alpha_bar[:-1]

    def step(v: float) -> Tensor:
        return chain.ratio + chain.scale * (1 - before).sqrt() / (before * v + 1 - before)

    known_image, known_noise = step(0.0), chain.ratio
    span = known_noise - known_image
    noise = ((1 - before) / before).log() / 2
    place = torch.where(noise <= EARLY, noise / APART, float("inf"))
    return Slopes(step(data_variance), (known_image - 0.2 * span).clamp_min(LEAST), known_noise + span, place)
