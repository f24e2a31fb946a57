"""How the slopes of single elements part from their step's own, learnt from steps near each other, round by round.

Jacobians of noise predictors are local: what an element does to itself differs from pixel to pixel, and is much the
same in neighbouring steps and in the next round. One step in one round moves in one direction, which tells little of
single elements; several steps and rounds together tell more. Whether to believe it shows in the round after, by how
well it foretold what the steps' own slopes did not: where Jacobians are not local, the trust ends up at 0.
"""

import numpy as np
import torch
from torch import Tensor

MOST = 48  # steps to learn from in a round; close ones move alike
KEPT = 0.5  # of what was learnt before, in every round
RIDGE = 0.1  # of a step's mean squared move: what it takes to believe that an element parts from the others
USEFUL = 0.1  # trust that is worth slopes for every element


class LocalSlopes:
    """Of one sample of E elements. Slopes are counted in shares of a step's reach, from its lowest to its highest."""

    def __init__(self, place: Tensor, elements: int, like: Tensor) -> None:
        """place: (N,) float64, steps about 1 apart are alike; infinite at the first ones, which have no local slopes.

        What is learnt lies at knots 1 apart, in the dtype and on the device of `like`.
        """
        finite = place.isfinite()
        self.begin = int((~finite).sum())
        at = place[finite] - place[finite].min() if self.begin < len(place) else place[finite]
        knots = torch.arange(int(at.max().ceil()) + 1 if len(at) else 0)
        self.weights = (1 - (at[:, None] - knots).abs()).clamp_min(0).to(like)  # (N - begin, G), of the knots in a step
        self.nearest = at.round().long().to(like.device)
        self.products = like.new_zeros(len(knots), elements)  # of moves and their effects
        self.squares = torch.zeros_like(self.products)  # of moves
        self.lean = torch.zeros_like(self.products)  # how far elements' slopes part from the common one
        self.trust = like.new_zeros(len(knots), 1)

    def pick(self, steps: Tensor) -> np.ndarray:
        """Which of some rising steps to learn from, as places among them."""
        first = int(torch.searchsorted(steps, self.begin))
        count = len(steps) - first
        return first + np.linspace(0, count - 1, min(count, MOST)).astype(np.int64)

    def learn(self, steps: Tensor, moves: Tensor, effects: Tensor) -> None:
        """From K steps: how their states moved, (K, E), and what that did to the next ones, in shares of the reach."""
        tiny = torch.finfo(moves.dtype).tiny
        weights = self.weights[steps - self.begin]
        length = torch.linalg.vecdot(moves, moves).clamp_min_(tiny)[:, None]
        rest = torch.addcmul(effects, torch.linalg.vecdot(moves, effects)[:, None] / length, moves, value=-1)
        self.trust = self._trust(weights, moves, rest, tiny)
        spread = (weights / length.mul_(1 / moves.shape[1])).T
        self.products.mul_(KEPT).addmm_(spread, moves * effects)
        self.squares.mul_(KEPT).addmm_(spread, moves.square())
        common = self.products.sum(1, keepdim=True) / self.squares.sum(1, keepdim=True).clamp_min_(tiny)
        lean = torch.addcmul(self.products, common, self.squares, value=-1).div_(self.squares + RIDGE)
        self.lean = torch.clamp(lean, -common, 1 - common)

    def _trust(self, weights: Tensor, moves: Tensor, rest: Tensor, tiny: float) -> Tensor:
        """(G, 1) in 0..1: how much of the lean would have explained best what the steps' own slopes left over."""
        told = (weights @ self.lean).mul_(moves)
        left = torch.linalg.vecdot(rest, rest).clamp_min_(tiny)
        shares = torch.stack([torch.linalg.vecdot(rest, told), torch.linalg.vecdot(told, told)], 1) / left[:, None]
        found = weights.T @ shares
        found[1:-1] = 0.25 * found[:-2] + 0.5 * found[1:-1] + 0.25 * found[2:]  # a step or two alone say little
        return (found[:, :1] / found[:, 1:].clamp_min(tiny)).clamp_(0, 1)

    def at(self, first: int) -> Tensor | None:
        """(M, E): what to add to the slopes of the steps `first` and later; None where nothing is worth it."""
        if not len(self.trust) or not self.trust.max() > USEFUL:
            return None
        return (self.trust * self.lean)[self.nearest[max(first - self.begin, 0) :]]
