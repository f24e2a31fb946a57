"""The normaliser of a log density by importance sampling, and how far it can be trusted.

All weights and sums are float64. Source: Neal, "Annealed importance sampling" (2001); Kish's effective sample size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]  # (B, d) -> (B,)
LEAST_ESS = 100.0  # below it the standard error itself is not to be trusted


@dataclass(frozen=True)
class Normal:
    """N(mean, C) from which draws come: mean (d,) and root (d, d), lower triangular with root root' = C, float64."""

    mean: Tensor
    root: Tensor

    @classmethod
    def isotropic(cls, dimensions: int, scale: float) -> "Normal":
        """N(0, scale^2 I)."""
        return cls(torch.zeros(dimensions, dtype=torch.float64), scale * torch.eye(dimensions, dtype=torch.float64))

    @classmethod
    def fitted(cls, rows: Tensor, widen: float = 1.0, ridge: float = 1e-3) -> "Normal":
        """Mean and covariance of rows (N, d), deviations times `widen`; ridge: share of the mean variance added."""
        x = rows.double()
        c = torch.cov(x.T).reshape(x.shape[1], x.shape[1])
        c = c + ridge * c.diagonal().mean() * torch.eye(len(c), dtype=torch.float64)
        return cls(x.mean(0), widen * torch.linalg.cholesky(c))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, d) float64."""
        noise = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + noise @ self.root.T

    def log_prob(self, x: Tensor) -> Tensor:
        """(B,) float64 of x (B, d)."""
        z = torch.linalg.solve_triangular(self.root, (x.double() - self.mean).T, upper=False)
        log_det = self.root.diagonal().log().sum()
        return -0.5 * z.square().sum(0) - log_det - len(self.mean) * math.log(2 * math.pi) / 2


@dataclass(frozen=True)
class LogNormaliser:
    """An estimate of log Z, Z = the integral of exp(log density)."""

    value: float  # the estimate of Z is unbiased, so that of log Z is too low on average
    error: float  # standard error of `value`, by the delta method
    ess: float  # effective sample size, (sum w)^2 / sum w^2, at most `draws`
    draws: int
    evaluations: int  # of the density, a row each

    @property
    def trusted(self) -> bool:
        """Whether the effective sample size is large enough for the standard error to mean anything."""
        return math.isfinite(self.value) and self.ess >= LEAST_ESS


def estimated(log_weights: Tensor, evaluations: int) -> LogNormaliser:
    """From log w (N,) of independent draws, w of mean Z. A weight that is not a number counts as 0."""
    logs = torch.nan_to_num(log_weights.double(), nan=-math.inf, posinf=math.inf)
    n, top = len(logs), float(logs.max())
    if not math.isfinite(top):
        return LogNormaliser(top, math.inf, 0.0, n, evaluations)
    w = (logs - top).exp()
    mean, squares = float(w.mean()), float(w.square().sum())
    error = float(w.std(correction=1)) / (mean * math.sqrt(n)) if n > 1 else math.inf
    return LogNormaliser(top + math.log(mean), error, float(w.sum()) ** 2 / squares, n, evaluations)


@torch.no_grad()
def importance(
    log_density: LogDensity,
    proposal: Normal,
    *,
    draws: int,
    generator: torch.Generator,
    batch: int = 8192,
    dtype: torch.dtype = torch.float32,
) -> LogNormaliser:
    """log Z by draws from the proposal, weighed by density over proposal. batch, dtype: of one call of the density."""
    parts = []
    for start in range(0, draws, batch):
        x = proposal.draw(min(batch, draws - start), generator)
        parts.append(log_density(x.to(dtype)).double() - proposal.log_prob(x))
    return estimated(torch.cat(parts), draws)


def annealed(
    log_density: LogDensity,
    proposal: Normal,
    *,
    chains: int,
    temperatures: int,
    generator: torch.Generator,
    leaps: int = 3,
    step: float = 0.25,
    dtype: torch.dtype = torch.float32,
) -> LogNormaliser:
    """log Z by chains that are annealed from the proposal to the density, each step one Hamiltonian move.

    temperatures: densities on the way, proposal^(1 - b) density^b with b from 0 to 1, closer where b is small. leaps:
    leapfrog steps of a move, each `step` long in units of the proposal's deviations; `step` follows the acceptance
    rate, from one temperature to the next, towards 0.65 (alike in all chains, so the weights stay unbiased up to that).
    """
    betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).square()
    x = proposal.draw(chains, generator)
    path = _Path(log_density, proposal, dtype)
    f, q, grads = path(x)
    log_weights, calls = torch.zeros(chains, dtype=torch.float64), chains
    for before, beta in pairwise(betas):
        log_weights += float(beta - before) * (f - q)
        if beta == 1:
            break
        state, accepted = _move(path, (x, f, q, grads), float(beta), leaps, step, generator)
        x, f, q, grads = state
        calls += leaps * chains
        step = min(max(step * (1.1 if accepted > 0.65 else 0.9), 1e-3), 2.0)
    return estimated(log_weights, calls)


State = tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]


class _Path:
    """x (B, d) float64 -> log density and log proposal (B,), and the gradient of each (B, d), all float64."""

    def __init__(self, log_density: LogDensity, proposal: Normal, dtype: torch.dtype) -> None:
        self.log_density, self.proposal, self.dtype = log_density, proposal, dtype

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        with torch.enable_grad():
            low = x.detach().to(self.dtype).requires_grad_()
            f = self.log_density(low)
            (df,) = torch.autograd.grad(f.sum(), low)
            high = x.detach().requires_grad_()
            q = self.proposal.log_prob(high)
            (dq,) = torch.autograd.grad(q.sum(), high)
        return f.detach().double(), q.detach(), (df.double(), dq)


def _move(
    path: _Path, state: State, beta: float, leaps: int, step: float, generator: torch.Generator
) -> tuple[State, float]:
    """The state after a Hamiltonian move at temperature beta with the proposal's covariance for the inverse mass."""
    x, f, q, grads = state
    root = path.proposal.root

    def slope(grads: tuple[Tensor, Tensor]) -> Tensor:  # of the density at beta, in whitened coordinates
        return (beta * grads[0] + (1 - beta) * grads[1]) @ root

    momentum = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    before = beta * f + (1 - beta) * q - momentum.square().sum(1) / 2
    y, new = x, (f, q, grads)
    p = momentum
    for _ in range(leaps):
        p = p + step / 2 * slope(new[2])
        y = y + step * p @ root.T
        new = path(y)
        p = p + step / 2 * slope(new[2])
    gain = beta * new[0] + (1 - beta) * new[1] - p.square().sum(1) / 2 - before
    taken = torch.rand(len(x), generator=generator, dtype=torch.float64).log() < torch.nan_to_num(gain, nan=-math.inf)
    rows = taken[:, None]
    kept = (torch.where(rows, new[2][0], grads[0]), torch.where(rows, new[2][1], grads[1]))
    moved = (torch.where(rows, y, x), torch.where(taken, new[0], f), torch.where(taken, new[1], q), kept)
    return moved, float(taken.double().mean())
