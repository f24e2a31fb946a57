"""The DDIM chain as a map on all of its states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from deqbench.diffusion.moments import Moments
from deqbench.diffusion.schedule import Schedule, large_sigmas, sigmas, timesteps

EpsModel = Callable[[Tensor, Tensor], Tensor]  # ((M, *dims), (M,) int64) -> (M, *dims)


@dataclass(frozen=True)
class DDIMChain:
    """B chains of N steps from x_T; called with a guess of all N later states, it returns them computed from it.

    With y = x / sqrt(alpha_bar) a step adds one eps term (and, for eta > 0, one fixed noise), so that one cumulative
    sum serves the whole chain. A triangular system (deqbench.solvers.triangular). Source: DEQ-DDIM, eqs. 8-10 and D.1.
    """

    eps_model: EpsModel
    timesteps: Tensor  # (N,) int64, descending
    alpha_bar: Tensor  # (N + 1,) float64, of x_T and of the N states after it
    sigma: Tensor  # (N,) float64, in the eps coefficient
    noise_scale: Tensor  # (N,) float64, of the added noise; sigma but for DDPM's larger variance
    x_T: Tensor  # (B, *dims)
    noise: Tensor | None = None  # (B, N, *dims) standard normal, None where noise_scale is 0
    alpha_bar_prev: Tensor | None = None  # (N,) float64, where each step lands; None: where the next one sets out
    moments: Moments | None = None  # of data that are not measured, for linear parts and starts that want them

    @classmethod
    def make(
        cls,
        eps_model: EpsModel,
        schedule: Schedule,
        grid: str,
        steps: int,
        x_T: Tensor,
        *,
        eta: float = 0.0,
        variance: Literal["posterior", "large"] = "posterior",
        noise: Tensor | None = None,
    ) -> DDIMChain:
        """The chain of `steps` steps on a grid. eta 0: DDIM; 1: DDPM, with either of its variances.

        noise: (B, N, *dims), needed where eta > 0. UserError: unknown grid, T or eta out of range.
        """
        tau = timesteps(grid, steps, len(schedule.alpha_bar))
        alpha_bar = schedule.along(tau)
        sigma = sigmas(alpha_bar, eta)
        scale = large_sigmas(alpha_bar) if variance == "large" and eta == 1 else sigma
        return cls(eps_model, tau, alpha_bar, sigma, scale, x_T, _needed(noise, scale))

    @classmethod
    def strided(
        cls,
        eps_model: EpsModel,
        schedule: Schedule,
        tau: Tensor,
        stride: int,
        x_T: Tensor,
        *,
        eta: float = 0.0,
        noise: Tensor | None = None,
    ) -> DDIMChain:
        """The chain whose step at each timestep tau, (N,) int64 descending, lands `stride` timesteps lower.

        That is how diffusers' DDIMScheduler steps, with stride = train_steps // T: on grids that are not evenly spaced
        a step lands elsewhere than the next one sets out. Steps that lead below timestep 0 land at the final
        alpha_bar. noise: (B, N, *dims), needed where eta > 0. UserError: eta out of range.
        """
        lower = tau - stride
        alpha_bar_prev = schedule.alpha_bar[lower.clamp_min(0)].where(lower >= 0, schedule.final_alpha_bar)
        before = schedule.alpha_bar[tau]
        sigma = sigmas(torch.stack([before, alpha_bar_prev]), eta)[0]
        alpha_bar = torch.cat([before, alpha_bar_prev[-1:]])
        elsewhere = None if torch.equal(alpha_bar_prev, alpha_bar[1:]) else alpha_bar_prev
        return cls(eps_model, tau, alpha_bar, sigma, sigma, x_T, _needed(noise, sigma), elsewhere)

    @property
    def start(self) -> Tensor:
        """x_T: (B, *dims)."""
        return self.x_T

    @property
    def steps(self) -> int:
        """N, the steps of the chain."""
        return len(self.timesteps)

    @cached_property
    def ratio(self) -> Tensor:
        """(N,) float64: what a step leaves of the state, sqrt(alpha_bar' / alpha_bar)."""
        return (self.after / self.alpha_bar[:-1]).sqrt()

    @cached_property
    def after(self) -> Tensor:
        """(N,) float64: alpha_bar where each step lands, alpha_bar' in these formulas."""
        return self.alpha_bar[1:] if self.alpha_bar_prev is None else self.alpha_bar_prev

    @cached_property
    def scale(self) -> Tensor:
        """(N,) float64: what a step adds of eps, sqrt(1 - alpha_bar' - sigma^2) - ratio sqrt(1 - alpha_bar)."""
        direction = (1 - self.after - self.sigma**2).clamp_min(0).sqrt()
        return direction - self.ratio * (1 - self.alpha_bar[:-1]).sqrt()

    def select(self, indices: Tensor) -> DDIMChain:
        """The chains of those samples; a noise predictor that tells samples apart by its own `select` follows."""
        noise = None if self.noise is None else self.noise[indices]
        eps_model = self.eps_model.select(indices) if hasattr(self.eps_model, "select") else self.eps_model
        return replace(self, eps_model=eps_model, x_T=self.x_T[indices], noise=noise)

    def initial(self, kind: Literal["x_T", "zeros"] = "x_T") -> Tensor:
        """(B, N, *dims): x_T, or zeros, for every state. Source: DEQ-DDIM, appendices A and C."""
        states = self.x_T[:, None].expand(-1, self.steps, *self.x_T.shape[1:]).clone()
        return states.zero_() if kind == "zeros" else states

    def step_terms(self, states: Tensor, indices: Tensor) -> Tensor:
        """eps at the states before the steps `indices`: (M, *dims), (M,) -> (M, *dims)."""
        return self.eps_model(states, self.timesteps[indices].to(states.device))

    def combine(
        self,
        base: Tensor,
        states: Tensor,
        terms: Tensor,
        first: int = 0,
        split: Tensor | None = None,
        samples: Tensor | None = None,
    ) -> Tensor:
        """The states after steps first..first+M-1, swept from `base`; see TriangularSystem.

        split None is the eps form (the paper's h-tilde), ones are the drift form (ParaDiGMS); it may differ from sample
        to sample, (b, N). Sums of the eps form are float64, other sweeps round like the sequential chain.
        """
        window = slice(first, first + terms.shape[1])
        ratio = self.ratio[window]
        linear = ratio if split is None else split if split.ndim > 2 else split[..., window]
        linear = linear.reshape(-1, len(ratio), *linear.shape[2:])
        # The eps form is a plain sum in y = x / product, taken at once; other sweeps go step by step.
        product = linear.cumprod(1) if split is None else linear.new_ones(1, 1)
        rest = along(self.scale[window] / product, terms) * terms  # (b, M, *dims)
        if self.noise is not None:
            noise = self.noise if samples is None else self.noise[samples]
            rest += along(self.noise_scale[window] / product, terms) * noise[:, window]
        if split is not None:
            apart = along(ratio, terms) - linear if linear.ndim > 2 else along(ratio - linear, terms)
            return _recur(base, rest.addcmul_(apart, states), linear)
        total = rest.cumsum(1, dtype=torch.float64).add_(base[:, None])
        return total.mul_(along(product, total)).to(terms.dtype)

    def __call__(self, z: Tensor) -> Tensor:
        """z: (B, N, *dims), a guess of the states after each step -> the same states computed from it."""
        states = torch.cat([self.x_T[:, None], z[:, :-1]], dim=1)  # each step starts where the one before ended
        indices = torch.arange(self.steps).repeat(len(z))
        eps = self.step_terms(states.flatten(0, 1), indices).unflatten(0, z.shape[:2])
        return self.combine(self.x_T, states, eps)

    def walk(self) -> Iterator[Tensor]:
        """The states (B, *dims) one after another, each from the one before. Source: DEQ-DDIM, eq. 3."""
        x = self.x_T
        for j in range(self.steps):
            x = self.step(x, j)
            yield x

    def eps(self, x: Tensor, j: int) -> Tensor:
        """The noise (B, *dims) predicted at the states x before step j."""
        return self.eps_model(x, self.timesteps[j].expand(len(x)).to(x.device))

    def step(self, x: Tensor, j: int, eps: Tensor | None = None) -> Tensor:
        """The states (B, *dims) after step j from those before it, and from their eps where it is known."""
        eps = self.eps(x, j) if eps is None else eps
        x = float(self.ratio[j]) * x + float(self.scale[j]) * eps
        return x if self.noise is None else x + float(self.noise_scale[j]) * self.noise[:, j]

    def unstep(self, x: Tensor, eps: Tensor, j: int) -> Tensor:
        """The states (B, *dims) before step j from those after it and their eps, which is to be known."""
        if self.noise is not None:
            x = x - float(self.noise_scale[j]) * self.noise[:, j]
        return (x - float(self.scale[j]) * eps) / float(self.ratio[j])

    def encode(self, x: Tensor, steps: int | None = None) -> Iterator[Tensor]:
        """The states (B, *dims) before the last `steps` steps (None: all), from the last back to the first.

        They start from x (B, *dims), and each eps is taken at the state already known; noises that the chain adds are
        taken off again. Source: DDIM, section 5.4, at the chain's own timesteps.
        """
        for j in reversed(range(0 if steps is None else self.steps - steps, self.steps)):
            x = self.unstep(x, self.eps(x, j), j)
            yield x


def _needed(noise: Tensor | None, scale: Tensor) -> Tensor | None:
    """The noises, None where none is added. ValueError: they are needed and not there."""
    if scale.any() and noise is None:
        raise ValueError("noise: expected a tensor (B, N, *dims) for eta > 0; found None")
    return noise if scale.any() else None


def _recur(base: Tensor, rest: Tensor, linear: Tensor) -> Tensor:
    """x_{j+1} = linear_j x_j + rest_j from x_0 = base, written over rest (b, M, *dims).

    linear: (1 or b, M) float64, or (b, M, *dims).
    """
    x = base
    if linear.ndim == 2 and len(linear) == 1:
        for row, factor in zip(rest.unbind(1), linear[0].tolist(), strict=True):
            x = row.add_(x, alpha=factor)
        return rest
    factors_of = linear if linear.ndim > 2 else along(linear, rest)
    for row, factors in zip(rest.unbind(1), factors_of.unbind(1), strict=True):
        x = row.addcmul_(x, factors)
    return rest


def along(coefficients: Tensor, like: Tensor) -> Tensor:
    """(M,) or (b, M) -> (1 or b, M, 1, ...) in the dtype and on the device of `like`, (b, M, *dims)."""
    rows = coefficients.to(like).reshape(-1, coefficients.shape[-1])
    return rows.view(*rows.shape, *[1] * (like.ndim - 2))
