"""Densities that are known: rows drawn from them, and their logarithm in float64."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deqbench.data.splits import SPLITS, Dataset

SQUARE = 2.0  # side of a square of the checkerboard, which covers [-4, 4] x [-4, 4]


def gaussian(dimensions: int, condition: float, train: int, tuning: int, test: int, seed: int) -> Dataset:
    """Rows of N(0, C) in so many dimensions. C: see `covariance`."""
    about = {"density": "gaussian", "dimensions": dimensions, "condition": condition}
    root = torch.linalg.cholesky(covariance(dimensions, condition))

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) @ root.T

    return _dataset(draw, about, (train, tuning, test), seed)


def covariance(dimensions: int, condition: float) -> Tensor:
    """C (d, d) float64 = Q diag(l) Q', l from 1/sqrt(condition) to sqrt(condition); the same for the same arguments."""
    noise = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q = torch.linalg.qr(noise).Q
    half = math.log(condition) / 2
    return (q * torch.linspace(-half, half, dimensions, dtype=torch.float64).exp()) @ q.T


def density(name: str, noise: float, train: int, tuning: int, test: int, seed: int) -> Dataset:
    """Rows (N, 2) of one of four densities; see `curves` and `log_density`."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        where = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        if name == "checkerboard":
            square = torch.randint(8, (count,), generator=generator)
            row, column = square // 2, 2 * (square % 2) + square // 2 % 2
            return SQUARE * (torch.stack([column, row], 1) + where) - 2 * SQUARE
        points = torch.stack(curves(name, where[:, 0]))  # (curves, N, 2)
        chosen = torch.randint(len(points), (count,), generator=generator)
        spread = noise * torch.randn(count, 2, generator=generator, dtype=torch.float64)
        return points[chosen, torch.arange(count)] + spread

    return _dataset(draw, {"density": name, "noise": noise}, (train, tuning, test), seed)


def _dataset(draw: Any, about: dict[str, Any], counts: tuple[int, int, int], seed: int) -> Dataset:
    drawn = {
        split: draw(count, torch.Generator().manual_seed(3 * seed + number)).float()
        for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True))
    }
    return Dataset(**drawn, symmetric=False, kind="density", about={**about, "seed": seed, "licence": "none needed"})


def curves(name: str, u: Tensor) -> list[Tensor]:
    """Points (N, 2) at the shares u (N,) in [0, 1] of each of the curves, equally likely, about which there is noise.

    mixture: eight points on a circle of radius 2; moons: two half circles of radius 1; rings: circles of radius 1, 2.
    """
    if name == "mixture":
        return [2 * _circle(torch.full_like(u, k / 8)) for k in range(8)]
    if name == "moons":
        upper, shift = _circle(u / 2), torch.tensor([1.0, 0.5], dtype=u.dtype)
        return [upper, shift - upper]
    return [_circle(u), 2 * _circle(u)]


def _circle(share: Tensor) -> Tensor:
    angle = 2 * math.pi * share
    return torch.stack([angle.cos(), angle.sin()], -1)


def log_density(about: Mapping[str, Any], x: Tensor) -> Tensor:
    """log p (N,) float64 at x (N, d), of the density that a data set is `about`.

    Closed forms but for moons and rings, an integral along the curve by Gauss and Legendre's rule on panels of four
    times the noise at most, so exact to rounding. A checkerboard is 1/32 on its eight squares and 0 off them.
    """
    x, name = x.double(), about["density"]
    if name == "gaussian":
        zero = torch.zeros(about["dimensions"], dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(zero, covariance(about["dimensions"], about["condition"]))
        return normal.log_prob(x)
    if name == "checkerboard":
        column, row = (x / SQUARE + 2).floor().unbind(1)
        black = ((column + row) % 2 == 0) & (torch.minimum(column, row) >= 0) & (torch.maximum(column, row) < 4)
        return torch.where(black, 0.0, -math.inf).double() - math.log(8 * SQUARE**2)
    noise = about["noise"]
    nodes, shares = np.polynomial.legendre.leggauss(16)
    panels = 1 if name == "mixture" else math.ceil(math.pi / noise)  # the longest curve is 4 pi
    u = (torch.arange(panels)[:, None] + torch.from_numpy(nodes + 1) / 2).flatten() / panels
    parts = curves(name, u)
    log_weights = (torch.from_numpy(shares / 2).repeat(panels * len(parts)) / (panels * len(parts))).log()
    exponents = (log_weights - _squares(rows, torch.cat(parts)) / (2 * noise**2) for rows in x.split(4096))
    return torch.cat([torch.logsumexp(found, 1) for found in exponents]) - math.log(2 * math.pi * noise**2)


def _squares(x: Tensor, points: Tensor) -> Tensor:
    return torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist").square()
