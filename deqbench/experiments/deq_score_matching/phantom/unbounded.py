"""The loss by phantom derivatives has no lower bound: a density of two states in closed form.

f(z, x) = W z + u x with W = diag(0.6, 0.2), u = (1, 1); log p = -c/2 (w' z*(x))^2 with w = (0.4, -0.8), which is
orthogonal to dz*/dx = (I - W)^{-1} u. So log p is 0 for every x, and the score-matching loss is 0 whatever c is. By K
steps from the fixed point dz/dx is the sum of W^k u, k < K, to which w is not orthogonal: the score stays 0, as w' z*
is, and its derivative is -c (w' dz/dx)^2. The loss is that, -c (0.6^K - 0.2^K)^2: an optimiser need only raise c.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.phantom.config import Unbounded
from deqbench.experiments.rows import Row
from deqbench.score_matching.losses import score_matching_loss
from deqbench.solvers.deq import DEQ

RATES, GAINS, HEAD = (0.6, 0.2), (1.0, 1.0), (0.4, -0.8)  # the diagonal of W, u, w
POINTS = 16


class Cell(nn.Module):
    """z, x -> W z + u x, (B, 2), (B, 1) -> (B, 2)."""

    rates: Tensor
    gains: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rates", torch.tensor(RATES, dtype=torch.float64))
        self.register_buffer("gains", torch.tensor(GAINS, dtype=torch.float64))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return z * self.rates + x * self.gains


class TwoStates(nn.Module):
    """x (B, 1) -> -c/2 (w' z*)^2 (B,), float64."""

    head: Tensor

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c, self.deq = c, DEQ(Cell(), dims=(2,), solver="picard", tol=1e-15, max_iter=200, adjoint="dense")
        self.register_buffer("head", torch.tensor(HEAD, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.deq(x) * self.head).sum(-1).square() * (-self.c / 2)


def loss(c: float, K: int | None, x: Tensor) -> float:
    """The score-matching loss at x (B, 1) by K phantom steps; None: by exact derivatives."""
    by = {"derivative": "exact"} if K is None else {"derivative": "phantom", "steps": K}
    return float(score_matching_loss(TwoStates(c), x, kind="sm", **by))


def closed_form(c: float, K: int | None) -> float:
    """-c (w' sum_{k < K} W^k u)^2; without K the sum has no end."""
    terms = (w * u * (1 - (0.0 if K is None else r**K)) / (1 - r) for w, u, r in zip(HEAD, GAINS, RATES, strict=True))
    return -c * sum(terms) ** 2


def rows(section: Unbounded, seed: int) -> Iterator[Row]:
    """Rows by c and K of the loss, its closed form, and the distance of both over c."""
    x = torch.randn(POINTS, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for c in section.sharpness:
        for K in (None, *section.steps):
            value, right = loss(c, K, x), closed_form(c, K)
            keys = {"dataset": "two-states", "c": c, "method": "exact" if K is None else f"phantom-{K}", "unit": ""}
            by_metric = {"loss": value, "closed_form": right, "off": abs(value - right) / c}
            yield from ({**keys, "metric": metric, "value": each} for metric, each in by_metric.items())
