"""The deviation of a block-diagonal Jacobian from one slope a step, learnt from steps near each other, round by round.

Jacobians of noise predictors are nearly diagonal, by place in small images and by frequency in large ones: what a
pixel, or a frequency, does to itself differs from that of others, and is much the same in neighbouring steps and in the
next round. One step in one round moves in one direction, which tells little of single elements; several steps and
rounds together, or all elements of a group, tell more. Whether to believe it shows in the round after, by how well it
foretold what the steps' own slopes did not: where Jacobians are not of that kind, the trust ends up at 0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST = 48  # steps to learn from in a round; close ones move alike
KEPT = 0.2  # of what was learnt before, in every round
RIDGE = 0.03  # of a step's mean squared move: what it takes to believe that a group parts from the others
USEFUL = 0.1  # trust that is worth slopes of groups
SLIGHT = 1e-6  # squared, in shares of the reach: how far slopes part that matter
STILL = 1e-30  # squared: moves that say nothing


@dataclass(frozen=True)
class Knots:
    """The knots where deviations are kept, and the steps' weights in them; all samples of a system share them."""

    begin: int  # the first step with slopes of groups
    weights: Tensor  # (N - begin, G) of the knots in a step, rows add to 1
    smooth: Tensor  # (N - begin, G) the same, spread over neighbouring knots
    nearest: Tensor  # (N - begin,) int64
    reach: Tensor  # (N - begin, 1), of the steps' slopes
    by_state: Tensor  # (N - begin, 1), what a state's move adds to the next one, in shares of the reach
    by_term: Tensor  # (N - begin, 1), and what a change of the step's term does

    @classmethod
    def of(cls, place: Tensor, reach: Tensor, by_state: Tensor, by_term: Tensor) -> "Knots":
        """place: (N,) float64, steps about 1 apart are alike; infinite at the first ones, which have no such slopes.

        reach, by_state, by_term: (N,), of the dtype and on the device of the states.
        """
        begin = int(place.isinf().sum())
        at = place[begin:]
        at = at - at.min() if len(at) else at
        knots = torch.arange(int(at.max().ceil()) + 1 if len(at) else 0)
        weights = (1 - (at[:, None] - knots).abs()).clamp_min(0)
        # a step or two alone say little of what is to be trusted
        near = (0.5 - 0.25 * (knots[:, None] - knots).abs()).clamp_min(0).to(weights)
        return cls(
            begin,
            weights.to(reach),
            (weights @ near).to(reach),
            at.round().long().to(reach.device),
            *(column[begin:, None] for column in (reach, by_state, by_term)),
        )


class LocalSlopes:
    """Of one sample of E elements in equal groups. Slopes are counted in shares of a step's reach, from its lowest."""

    def __init__(self, knots: Knots, groups: int) -> None:
        self.knots, self.begin, self.groups = knots, knots.begin, groups
        count = knots.weights.shape[1]
        self.products = knots.reach.new_zeros(count, groups)  # of moves and their effects
        self.squares = torch.zeros_like(self.products)  # of moves
        self.deviation = torch.zeros_like(self.products)  # how far groups' slopes part from the common one
        self.trust = knots.reach.new_zeros(count, 1)

    def pick(self, steps: Tensor) -> slice | Tensor:
        """The steps to learn from of some rising ones, as places among them."""
        first = int(np.searchsorted(steps.numpy(), self.begin))
        few = len(steps) - first <= MOST
        return slice(first, None) if few else torch.linspace(first, len(steps) - 1, MOST).long()

    def learn(self, steps: Tensor, moves: Tensor, dterm: Tensor) -> None:
        """From steps, (K,) rising: how their states moved, (K, E), and what that did to their terms, (K, E)."""
        if steps[-1] < self.begin:
            return
        some = self.pick(steps)
        places, moves, dterm = steps[some] - self.begin, moves[some], dterm[some]
        by_state, by_term = self.knots.by_state[places], self.knots.by_term[places]
        squares, crossed = self._sums(moves, moves), self._sums(moves, dterm)
        products = by_state * squares + by_term * crossed  # of moves and effects, which are by_state m + by_term d
        whole = squares.sum(1, keepdim=True)
        inverse = whole.clamp_min(STILL).reciprocal_()
        effects = by_state * (by_state * whole + 2 * by_term * crossed.sum(1, keepdim=True))
        effects += by_term.square() * torch.linalg.vecdot(dterm, dterm)[:, None]
        weights = self.knots.weights[places]
        self.trust = self._trust(weights, self.knots.smooth[places], squares, products, effects, inverse)
        spread = (weights * (self.groups * inverse)).T
        self.products.mul_(KEPT).addmm_(spread, products)
        self.squares.mul_(KEPT).addmm_(spread, squares)
        common = self.products.sum(1, keepdim=True) / self.squares.sum(1, keepdim=True).clamp_min_(STILL)
        deviation = torch.addcmul(self.products, common, self.squares, value=-1).div_(self.squares + RIDGE)
        self.deviation = torch.clamp(deviation, -common, 1 - common)

    def _sums(self, a: Tensor, b: Tensor) -> Tensor:
        """Of products within each group: (K, E), (K, E) -> (K, groups)."""
        if a.shape[1] == self.groups:
            return a * b
        return torch.linalg.vecdot(a.view(len(a), self.groups, -1), b.view(len(b), self.groups, -1))

    def _trust(
        self, weights: Tensor, smooth: Tensor, squares: Tensor, products: Tensor, effects: Tensor, inverse: Tensor
    ) -> Tensor:
        """(G, 1) in 0..1: how much of the deviation would have explained best what the steps' own slopes left over.

        squares, products: (K, groups), of moves, and of moves and effects. effects: (K, 1), squared. inverse: (K, 1).
        """
        whole = products.sum(1, keepdim=True)
        own = whole * inverse
        left = (effects - own * whole).clamp_min_(0).mul_(inverse).add_(SLIGHT)
        told = weights @ self.deviation
        agreed = (told * torch.addcmul(products, own, squares, value=-1)).sum(1, keepdim=True)
        shares = torch.cat([agreed, (told.square() * squares).sum(1, keepdim=True)], 1) * (inverse / left)
        agree, size = (smooth.T @ shares).unbind(1)
        return (agree / size.clamp_min(STILL)).clamp_(0, 1)[:, None]

    def at(self, first: int) -> Tensor | None:
        """(M, groups): what to add to the slopes of the steps from `first` on that have such; None: not worth it."""
        if not len(self.trust) or not self.trust.max() > USEFUL:
            return None
        rest = slice(max(first - self.begin, 0), None)
        nearest = self.knots.nearest[rest]
        return self.deviation[nearest].mul_(self.trust[nearest] * self.knots.reach[rest])
