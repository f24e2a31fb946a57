"""How the slopes of single elements part from their step's own, learnt from steps near each other, round by round.

Jacobians of noise predictors are local: what an element does to itself differs from pixel to pixel, and is much the
same in neighbouring steps and in the next round. One step in one round moves in one direction, which tells little of
single elements; several steps and rounds together tell more. Whether to believe it shows in the round after, by how
well it foretold what the steps' own slopes did not: where Jacobians are not local, the trust ends up at 0.
"""

import torch
from torch import Tensor

MOST = 48  # steps to learn from in a round; close ones move alike
KEPT = 0.5  # of what was learnt before, in every round
RIDGE = 0.1  # of a step's mean squared move: what it takes to believe that an element parts from the others
USEFUL = 0.1  # trust that is worth slopes for every element
SLIGHT = 1e-6  # squared, in shares of the reach: how far slopes part that matter
STILL = 1e-30  # squared: moves that say nothing


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

    def pick(self, steps: Tensor) -> slice | Tensor:
        """Which of some rising steps to learn from, as places among them."""
        first = int(torch.searchsorted(steps, self.begin))
        few = len(steps) - first <= MOST
        return slice(first, None) if few else torch.linspace(first, len(steps) - 1, MOST).long()

    def learn(self, steps: Tensor, moves: Tensor, effects: Tensor) -> None:
        """From K steps: how their states moved, (K, E), and what that did to the next ones, in shares of the reach."""
        squares = torch.linalg.vecdot(moves, moves)
        inverse = torch.where(squares > STILL, 1 / squares, 0.0)[:, None]
        own = torch.linalg.vecdot(moves, effects)[:, None] * inverse
        rest = torch.addcmul(effects, own, moves, value=-1)
        weights = self.weights[steps - self.begin]
        self.trust = self._trust(weights, moves, rest, inverse)
        spread = (weights * inverse).T * moves.shape[1]
        self.products.mul_(KEPT).addmm_(spread, moves * effects)
        self.squares.mul_(KEPT).addmm_(spread, moves.square())
        common = self.products.sum(1, keepdim=True) / self.squares.sum(1, keepdim=True).clamp_min_(STILL)
        lean = torch.addcmul(self.products, common, self.squares, value=-1).div_(self.squares + RIDGE)
        self.lean = torch.clamp(lean, -common, 1 - common)

    def _trust(self, weights: Tensor, moves: Tensor, rest: Tensor, inverse: Tensor) -> Tensor:
        """(G, 1) in 0..1: how much of the lean would have explained best what the steps' own slopes left over."""
        told = (weights @ self.lean).mul_(moves)
        products = torch.stack([torch.linalg.vecdot(rest, other) for other in (rest, told)], 1) * inverse
        size = torch.linalg.vecdot(told, told)[:, None] * inverse
        found = weights.T @ (torch.cat([products[:, 1:], size], 1) / (products[:, :1] + SLIGHT))
        found[1:-1] = 0.25 * found[:-2] + 0.5 * found[1:-1] + 0.25 * found[2:]  # a step or two alone say little
        return (found[:, :1] / found[:, 1:].clamp_min(STILL)).clamp_(0, 1)

    def at(self, first: int, reach: Tensor) -> Tensor | None:
        """What to add to the slopes of the M steps `first` and later that have local ones: (M, E).

        reach: (N,). None where nothing is worth it.
        """
        if not len(self.trust) or not self.trust.max() > USEFUL:
            return None
        first = max(first, self.begin)
        nearest = self.nearest[first - self.begin :]
        return self.lean[nearest].mul_(self.trust[nearest] * reach[first:, None].to(self.lean))
