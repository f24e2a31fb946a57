"""Annealed Langevin dynamics: draws of a score network by noise levels that fall. Source: NCSN, algorithm 1."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LevelScore = Callable[[Tensor, int], Tensor]  # (B, *dims), number of the level -> (B, *dims)


def geometric(largest: float, smallest: float, levels: int) -> Tensor:
    """Noise levels (levels,) float64, largest first, each the same multiple of the one before."""
    return torch.logspace(0, 1, levels, base=smallest / largest, dtype=torch.float64) * largest


def walk(
    score: LevelScore, x: Tensor, sigmas: Tensor, *, steps: int, rate: float, generator: torch.Generator
) -> Iterator[Tensor]:
    """The state after all steps of each level, (B, *dims), from the start x.

    At the level sigma the step is a = rate * sigma^2 / sigma_last^2 and x <- x + a/2 s(x) + sqrt(a) n, n ~ N(0, I).
    The noise is drawn on the CPU, in float32, so that it is the same on every device.
    """
    for level, sigma in enumerate(sigmas.tolist()):
        step = rate * (sigma / float(sigmas[-1])) ** 2
        for _ in range(steps):
            noise = torch.randn(x.shape, generator=generator).to(x)
            x = x + step / 2 * score(x, level) + step**0.5 * noise
        yield x


def sample(
    score: LevelScore,
    x: Tensor,
    sigmas: Tensor,
    *,
    steps: int,
    rate: float,
    generator: torch.Generator,
    denoise: bool = False,
) -> Tensor:
    """The state after the last level. denoise: the mean that Tweedie's formula gives of it, x + sigma^2 s(x)."""
    for state in walk(score, x, sigmas, steps=steps, rate=rate, generator=generator):
        x = state
    return x + float(sigmas[-1]) ** 2 * score(x, len(sigmas) - 1) if denoise else x
