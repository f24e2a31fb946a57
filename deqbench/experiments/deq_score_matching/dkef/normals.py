"""Rows that need no training: a normal density fitted to train and, where the density is known, itself."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from deqbench.data.densities import covariance
from deqbench.score_matching.likelihood import Normal

Measured = Iterator[tuple[str, float, str]]


def normal_losses(normal: Normal, x: Tensor) -> Tensor:
    """The score-matching loss (B,) of a normal density at rows x, float64, in closed form."""
    precision = torch.cholesky_inverse(normal.root)
    s = (normal.mean - x.double()) @ precision
    return s.square().sum(1) / 2 - precision.trace()


def of_normal(normal: Normal, x: Tensor) -> Measured:
    """Loss and log-likelihood, both exact."""
    yield "sm_loss", float(normal_losses(normal, x).mean()), ""
    yield "log_likelihood", float(normal.log_prob(x).mean()), "nat"


def truth(about: Mapping[str, Any]) -> Normal | None:
    """The density that rows were drawn from, if it is a normal one."""
    if about.get("density") != "gaussian":
        return None
    c = covariance(about["dimensions"], about["condition"])
    return Normal(torch.zeros(len(c), dtype=torch.float64), torch.linalg.cholesky(c))


def divergence(scores: Tensor, losses: Tensor, true: Normal, x: Tensor) -> Measured:
    """Fisher divergence 1/2 E|s - s*|^2 of scores (B, d) at rows x, and what the losses (B,) miss of its identity.

    J = D_F - tr(C^-1) / 2 holds of expectations; identity_gap is what the two sides differ by on these rows, and
    identity_error the standard error of that.
    """
    precision = torch.cholesky_inverse(true.root)
    away = (scores.double() + (x.double() - true.mean) @ precision).square().sum(1) / 2
    gap = losses.double() - away + precision.trace() / 2
    yield "fisher", float(away.mean()), ""
    yield "identity_gap", float(gap.mean()), ""
    yield "identity_error", float(gap.std() / len(x) ** 0.5), ""
