"""How the slopes of single elements part from their step's own, learnt from steps near each other, round by round.

Jacobians of noise predictors are local: what an element does to itself differs from pixel to pixel, and is much the
same in neighbouring steps and in the next round. One step in one round moves in one direction, which tells little of
single elements; several steps and rounds together tell more. Whether to believe it shows in the round after, by how
well it foretold what the steps' own slopes did not: where Jacobians are not local, the trust ends up at 0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST = 48  # steps to learn from in a round; close ones move alike
KEPT = 0.5  # of what was learnt before, in every round
RIDGE = 0.1  # of a step's mean squared move: what it takes to believe that an element parts from the others
USEFUL = 0.1  # trust that is worth slopes for every element
SLIGHT = 1e-6  # squared, in shares of the reach: how far slopes part that matter
STILL = 1e-30  # squared: moves that say nothing


@dataclass(frozen=True)
class Knots:
    """Where leans are kept, and the steps' weights in them: what all samples of a system share."""

    begin: int  # the first step with slopes of single elements
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
    """Of one sample of E elements. Slopes are counted in shares of a step's reach, from its lowest to its highest."""

    def __init__(self, knots: Knots, elements: int) -> None:
        self.knots, self.begin = knots, knots.begin
        count = knots.weights.shape[1]
        self.products = knots.reach.new_zeros(count, elements)  # of moves and their effects
        self.squares = torch.zeros_like(self.products)  # of moves
        self.lean = torch.zeros_like(self.products)  # how far elements' slopes part from the common one
        self.trust = knots.reach.new_zeros(count, 1)

    def pick(self, steps: Tensor) -> slice | Tensor:
        """Which of some rising steps to learn from, as places among them."""
        first = int(np.searchsorted(steps.numpy(), self.begin))
        few = len(steps) - first <= MOST
        return slice(first, None) if few else torch.linspace(first, len(steps) - 1, MOST).long()

    def learn(self, steps: Tensor, moves: Tensor, dterm: Tensor) -> None:
        """From steps, (K,) rising: how their states moved, (K, E), and what that did to their terms, (K, E)."""
        if steps[-1] < self.begin:
            return
        some = self.pick(steps)
        places, moves = steps[some] - self.begin, moves[some]
        effects = (dterm[some] * self.knots.by_term[places]).addcmul_(self.knots.by_state[places], moves)
        inverse = torch.linalg.vecdot(moves, moves).clamp_min_(STILL).reciprocal_()[:, None]
        own = torch.linalg.vecdot(moves, effects)[:, None] * inverse
        rest = torch.addcmul(effects, own, moves, value=-1)
        weights = self.knots.weights[places]
        self.trust = self._trust(weights, self.knots.smooth[places], moves, rest, inverse)
        spread = (weights * (moves.shape[1] * inverse)).T
        self.products.mul_(KEPT).addmm_(spread, moves * effects)
        self.squares.mul_(KEPT).addmm_(spread, moves.square())
        common = self.products.sum(1, keepdim=True) / self.squares.sum(1, keepdim=True).clamp_min_(STILL)
        lean = torch.addcmul(self.products, common, self.squares, value=-1).div_(self.squares + RIDGE)
        self.lean = torch.clamp(lean, -common, 1 - common)

    def _trust(self, weights: Tensor, smooth: Tensor, moves: Tensor, rest: Tensor, inverse: Tensor) -> Tensor:
        """(G, 1) in 0..1: how much of the lean would have explained best what the steps' own slopes left over."""
        told = (weights @ self.lean).mul_(moves)
        left = torch.linalg.vecdot(rest, rest)[:, None].mul_(inverse).add_(SLIGHT)
        shares = torch.stack([torch.linalg.vecdot(rest, told), torch.linalg.vecdot(told, told)], 1) * (inverse / left)
        agree, size = (smooth.T @ shares).unbind(1)
        return (agree / size.clamp_min(STILL)).clamp_(0, 1)[:, None]

    def at(self, first: int) -> Tensor | None:
        """(M, E): what to add to the slopes of the steps from `first` on that have such; None: not worth it."""
        if not len(self.trust) or not self.trust.max() > USEFUL:
            return None
        rest = slice(max(first - self.begin, 0), None)
        nearest = self.knots.nearest[rest]
        return self.lean[nearest].mul_(self.trust[nearest] * self.knots.reach[rest])
