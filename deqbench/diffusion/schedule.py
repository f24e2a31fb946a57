"""The noise schedule and the choice of timesteps, in float64."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deqbench.errors import UserError, unknown


@dataclass(frozen=True)
class Schedule:
    """alpha_bar of a training chain: the share of the image left at each of its steps."""

    alpha_bar: Tensor  # (train_steps,) float64, falling
    final_alpha_bar: float  # where the last step lands: 1 for an image without noise

    @classmethod
    def of(cls, scheduler: Any) -> "Schedule":
        """The schedule of a diffusers scheduler (its float32 tables raised to float64)."""
        return cls(scheduler.alphas_cumprod.double(), float(scheduler.final_alpha_cumprod))

    def along(self, timesteps: Tensor) -> Tensor:
        """(N + 1,) float64: alpha_bar at the N timesteps (descending) and where the last step lands."""
        return torch.cat([self.alpha_bar[timesteps], self.alpha_bar.new_tensor([self.final_alpha_bar])])


def _uniform_released(steps: int, train_steps: int) -> np.ndarray:
    if train_steps % steps:
        divisors = [n for n in range(1, train_steps + 1) if train_steps % n == 0]
        near = min(divisors, key=lambda n: abs(n - steps))
        raise UserError(
            f"T: grid uniform-released expected a divisor of {train_steps}; found {steps} (nearest: {near})"
        )
    return np.arange(0, train_steps, train_steps // steps)


def _uniform_paper(steps: int, train_steps: int) -> np.ndarray:
    return np.floor(np.arange(steps) * ((train_steps - 1) / max(steps - 1, 1)) + 1e-9)


def _quadratic_paper(steps: int, train_steps: int) -> np.ndarray:
    return np.floor(np.arange(steps) ** 2 * ((train_steps - 1) / max(steps - 1, 1) ** 2) + 1e-9)


def _quadratic_released(steps: int, train_steps: int) -> np.ndarray:
    return np.floor(np.linspace(0, np.sqrt(0.8 * train_steps), steps) ** 2 + 1e-9)


GRIDS = {
    "uniform-released": _uniform_released,
    "uniform-paper": _uniform_paper,
    "quadratic-paper": _quadratic_paper,
    "quadratic-released": _quadratic_released,
}


def timesteps(grid: str, steps: int, train_steps: int = 1000) -> Tensor:
    """Distinct training timesteps, descending, int64: at most `steps` of them.

    The paper's rules are tau_i = floor(c i) and floor(c i^2), i = 0..T-1, with c such that the last is train_steps -
    1. The released code takes every (train_steps / T)-th step (the grid of diffusers' `leading` spacing), or for
    CIFAR-10 floor(linspace(0, sqrt(800), T)^2), which ends at 800. Rules that repeat a timestep would repeat a network
    call and move
    nothing: repeats are dropped. UserError: unknown grid, T outside 1..train_steps, or T that the grid cannot serve.

    Source: DEQ-DDIM, appendix A; released code, runners/diffusion.py.
    """
    if grid not in GRIDS:
        raise unknown("grid", grid, GRIDS)
    if not 1 <= steps <= train_steps:
        raise UserError(f"T: expected 1 to {train_steps} (the steps of the training chain); found {steps}")
    return torch.from_numpy(np.unique(GRIDS[grid](steps, train_steps).astype(np.int64))[::-1].copy())


def sigmas(alpha_bar: Tensor, eta: float) -> Tensor:
    """(N,) float64: standard deviations of the noise added at each step. alpha_bar: (N + 1,).

    UserError: eta outside [0, 1]. Source: DEQ-DDIM, eq. 3; DDIM, eq. 16.
    """
    if not 0 <= eta <= 1:
        raise UserError(f"eta: expected a number in [0, 1]; found {eta}")
    here, after = alpha_bar[:-1], alpha_bar[1:]
    return eta * ((1 - after) / (1 - here) * (1 - here / after)).sqrt()


def large_sigmas(alpha_bar: Tensor) -> Tensor:
    """(N,) float64: the larger of DDPM's two deviations; the last step adds no noise. Source: DDIM, section 5."""
    large = (1 - alpha_bar[:-1] / alpha_bar[1:]).sqrt()
    return torch.cat([large[:-1], torch.zeros_like(large[-1:])])
