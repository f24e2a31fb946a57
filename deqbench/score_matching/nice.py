"""NICE: a flow of additive couplings, whose log density is exact; the couplings' networks explicit or implicit.

Source: Dinh et al., "NICE: Non-linear independent components estimation" (2014); DEQ score matching, section 4.3.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.score_matching.layers import DenseCell, Normalisation
from deqbench.solvers.deq import DEQ

Prior = Literal["logistic", "normal"]
Shift = Callable[[int], nn.Module]  # of how many features -> a network (B, features) -> (B, features)


class NICE(nn.Module):
    """x (B, d) -> its log density (B,), in the space of x; d even.

    The even and the odd entries take turns: to the one half a network of the other is added, in each coupling. That
    keeps volumes, so that the log density is the prior's at z plus the sum of the log scales of a diagonal layer at the
    end. The prior is logistic, as NICE's for images: its score is at most 1 in size, so that no row far out rules a
    score-matching loss; a normal one is there for densities whose tails are light.
    ValueError: d odd, no coupling, or an unknown prior.
    """

    def __init__(self, dimensions: int, shifts: Iterable[Shift], prior: Prior = "logistic") -> None:
        super().__init__()
        if dimensions % 2:
            raise ValueError(f"dimensions: expected an even number; found {dimensions}")
        if prior not in ("logistic", "normal"):
            raise ValueError(f"prior: expected one of logistic, normal; found '{prior}'")
        self.prior = prior
        self.shifts = nn.ModuleList(shift(dimensions // 2) for shift in shifts)
        if not self.shifts:
            raise ValueError("shifts: expected at least one coupling; found none")
        self.log_scales = nn.Parameter(torch.zeros(dimensions))

    def forward(self, x: Any) -> Any:
        """The log density (B,) of rows x (B, d)."""
        z = self.latent(x)
        log_prior = -F.softplus(z) - F.softplus(-z) if self.prior == "logistic" else -(z.square() + LOG_2_PI) / 2
        return log_prior.sum(1) + self.log_scales.sum()

    def latent(self, x: Any) -> Any:
        """z (B, d), one half of it behind the other."""
        kept, moved = x[:, ::2], x[:, 1::2]
        for shift in self.shifts:
            kept, moved = moved + shift(kept), kept
        return torch.cat([kept, moved], 1) * self.log_scales.exp()

    def inverse(self, z: Tensor) -> Tensor:
        """The rows x (B, d) whose latents are z, up to the tolerance of implicit networks."""
        kept, moved = (z * (-self.log_scales).exp()).chunk(2, 1)
        for shift in reversed(self.shifts):
            kept, moved = moved, kept - shift(moved)
        return torch.stack([kept, moved], 2).flatten(1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Rows (n, d) of the model's density."""
        shape, like = (n, len(self.log_scales)), self.log_scales
        if self.prior == "normal":
            z = torch.randn(shape, generator=generator, dtype=like.dtype)
        else:
            z = torch.rand(shape, generator=generator, dtype=like.dtype).logit(eps=torch.finfo(like.dtype).eps)
        return self.inverse(z.to(like))


LOG_2_PI = math.log(2 * math.pi)


def explicit(width: int, layers: int = 5) -> Shift:
    """Networks of `layers` fully connected layers, all but the last `width` wide and followed by softplus."""

    def shift(features: int) -> nn.Module:
        wide: list[nn.Module] = []
        for k in range(layers - 1):
            wide += [nn.Linear(width if k else features, width), nn.Softplus()]
        return nn.Sequential(*wide, nn.Linear(width if layers > 1 else features, features))

    return shift


def implicit(width: int, *, normalisation: Normalisation = "frobenius", bound: float = 1.05, **settings: Any) -> Shift:
    """Networks of one fully connected softplus layer, an equilibrium layer of its output, and a linear layer.

    settings: of deqbench.DEQ, such as tol and derivative.
    """

    def shift(features: int) -> nn.Module:
        cell = DenseCell(width, normalisation, bound)
        inner = (nn.Linear(features, width), nn.Softplus(), DEQ(cell, **settings))
        return nn.Sequential(*inner, nn.Linear(width, features))

    return shift
