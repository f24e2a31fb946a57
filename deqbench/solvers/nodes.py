"""The steps of a chain that stand for the others: their choice, and the interpolation between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

EVEN = 0.5  # share of the nodes that are spread evenly, but for closer ends


def spread(turns: np.ndarray, nodes: int) -> np.ndarray:
    """At most `nodes` rising places in range(len(turns)), the first and the last among them."""
    count = len(turns)
    even = np.diff(np.arccos(1 - 2 * np.linspace(0, 1, count + 1)))  # Chebyshev's nodes have this density
    density = EVEN * even / even.sum() + (1 - EVEN) * turns / max(turns.sum(), 1e-30)
    below = np.concatenate([[0.0], density.cumsum()])
    places = np.interp(np.linspace(0, below[-1], nodes), below, np.arange(count + 1))
    return np.unique(places.round().clip(0, count - 1).astype(np.int64))


@dataclass(frozen=True)
class Settings:
    """The tests by which secant sweeps evaluate a step, let it be, and stop.

    The last five are no options. Beside each stands what a third or half and two or three times of it bring: rounds and
    evaluations (in units of N) of chains of N = 200 steps of a mixture of Gaussians / of 100 steps of a network of
    digits, 40 and 12 tuning images at tol 1e-3. As they are it is 7.17, 2.11 / 7.75, 2.73.
    """

    tol: float
    nodes: int
    gap: float
    coarse_tol: float
    settle_tol: float
    # Of the predicted error. 1: 7.15, 2.19 / 7.58, 2.77, errors on digits twice as large; 4: 7.17, 2.12 / 7.83, 2.71.
    safety: float = 2.0
    # Share that interpolation gets wrong of a state's moves since its step was evaluated.
    # 0.03: 6.90, 2.00 / 7.75, 2.61, but one image off by half; 0.3: 7.28, 2.34 / 7.75, 3.04.
    interpolated: float = 0.1
    # Those moves that call for an evaluation. 0.01: as it is; 0.1: 7.17, 2.09 / 7.75, 2.73.
    stale: float = 0.03
    # Predicted error of a state that makes its step worth an evaluation in a full round.
    # 0.08: 7.17, 2.12 / 7.75, 2.81; 0.75: 7.20, 2.25 / 7.75, 2.77.
    foreseen: float = 0.25
    # Unsettled steps to a node, so few that all are evaluated. 1: 7.20, 2.09 / 7.75, 2.68; 2: 7.17, 2.23 / 7.75, 2.92.
    nearly: float = 1.2

    def takes_all(self, steps: int, nodes: int | None = None) -> bool:
        """Whether so few steps are left that all of them are evaluated."""
        return steps <= self.nearly * (self.nodes if nodes is None else nodes)


@dataclass
class Forecast:
    """The errors and moves that one sample's rounds foretell of its N states, as shares of each state's length."""

    drifts: np.ndarray  # (N,), how far the state before a step has moved since the step was evaluated
    turns: np.ndarray  # (N,), a state's last change less its neighbour's, relative to the greatest change
    moves: np.ndarray  # (N,), of the states after the steps in the last sweep; NaN before the first
    errors: np.ndarray  # (N,), predicted of the states before the steps, rising
    last: float = np.inf  # the error predicted of the last state
    rounds: int = 0  # chosen so far
    coarse: bool = False  # whether the last one took nodes only

    @classmethod
    def blank(cls, steps: int) -> Forecast:
        """Before the first round."""
        return cls(np.full(steps, np.inf), np.zeros(steps), np.full(steps, np.nan), np.full(steps, np.inf))

    def choose(self, settled: int, settings: Settings) -> np.ndarray:
        """The steps to evaluate in the next round, rising."""
        self.rounds += 1
        rest, turns = len(self.turns) - settled, self.turns[settled:]
        nodes = max(settings.nodes, int(turns.sum() / settings.gap))
        if settings.takes_all(rest, nodes):
            self.coarse = False
            return np.arange(settled, settled + rest)
        picked = np.zeros(rest, dtype=bool)
        picked[spread(turns, nodes)] = True
        stale = settings.stale if self.last > settings.tol else settings.tol / settings.interpolated
        near = self.last <= settings.coarse_tol and self._drift(settled) > stale
        self.coarse = not (near or self.coarse)
        if not self.coarse:
            picked[: np.searchsorted(self.errors[settled:], settings.foreseen, "right")] = True
        return settled + picked.nonzero()[0]

    def moved(self, first: int, moves: np.ndarray, settings: Settings) -> None:
        """Takes note of how far the states after the steps from `first` on moved in a sweep."""
        self.drifts[first + 1 :] += moves[:-1]
        before = np.where(np.isnan(self.moves[first:]), moves, self.moves[first:])
        errors = settings.safety * moves * np.minimum(1.0, moves / before.clip(1e-300))
        self.errors[first] = 0.0
        self.errors[first + 1 :] = np.maximum.accumulate(errors)[:-1]
        self.moves[first:], self.last = moves, float(errors[-1])

    def still(self, first: int, settings: Settings) -> int:
        """The number of states after step `first`, in a row, that no longer move, nor those they were swept from."""
        limit = settings.settle_tol
        still = (self.moves[first:] <= limit) & (self.drifts[first:] <= limit / settings.interpolated)
        return int(still.cumprod().sum())

    def over(self, settled: int, settings: Settings) -> bool:
        """Whether the last state is predicted to be right, or is lost."""
        close = self.last <= settings.tol and settings.interpolated * self._drift(settled) <= settings.tol
        return not np.isfinite(self.moves[-1]) or (settings.tol > 0 and close)

    def _drift(self, settled: int) -> float:
        return float(self.drifts[settled:].max(initial=0.0))


class Between:
    """Linear interpolation from rising steps to all steps first..last-1; constant beyond the outermost."""

    def __init__(self, steps: Tensor, first: int, last: int) -> None:
        self.exact = len(steps) == last - first
        if self.exact:
            return
        places = torch.arange(first, last)
        self.right = torch.searchsorted(steps, places).clamp(1, max(len(steps) - 1, 1)).clamp_max(len(steps) - 1)
        self.left = (self.right - 1).clamp_min(0)
        width = (steps[self.right] - steps[self.left]).clamp_min(1)
        self.weight = ((places - steps[self.left]).double() / width).clamp(0, 1)

    def __call__(self, values: Tensor) -> Tensor:
        """(K, *dims) -> (M, *dims)."""
        if self.exact:
            return values
        return values[self.left.to(values.device)].lerp(values[self.right.to(values.device)], rows(self.weight, values))


def rows(values: Tensor, like: Tensor) -> Tensor:
    """(M,) -> (M, 1, ...) in the dtype and on the device of `like`."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))
