"""How the slopes of single elements part from their step's common slope, learnt from the steps near each other.

Jacobians of noise predictors are local: what an element does to itself differs from pixel to pixel, and stays much the
same over neighbouring steps and from round to round. A step alone moves in one direction a round, which tells nothing
of single elements; some steps and rounds together do. Whether it is worth believing shows in the next round, by what
was foretold of it: a Jacobian that is not local is left to the common slopes.
"""

import torch
from torch import Tensor

MOST = 48  # steps to learn from in a round; close ones move alike
KEPT = 0.5  # of what was learnt before, in each round
RIDGE = 0.5  # mean squared moves' worth of belief in the common slope
USEFUL = 0.05  # trust that is worth the work of slopes for every element


class LocalSlopes:
    """One sample's: what is learnt lies at G knots, and between knots steps interpolate.

    Slopes are counted in shares of a step's reach, from its lowest to its highest slope.
    """

    def __init__(self, weights: Tensor, elements: int) -> None:
        """weights: (N, G), of the knots in each step, see `knots`; they give the dtype and the device."""
        self.weights = weights
        self.products = weights.new_zeros(weights.shape[1], elements)  # of moves and what they did to a step's result
        self.squares = torch.zeros_like(self.products)  # of moves
        self.lean = torch.zeros_like(self.products)  # from the common slope
        self.trust = weights.new_zeros(weights.shape[1], 1)

    def learn(self, steps: Tensor, moves: Tensor, effects: Tensor) -> None:
        """From K steps, (K,) rising: how their states moved, (K, E), and what that did, in shares of the reach."""
        if len(steps) > MOST:
            some = torch.linspace(0, len(steps) - 1, MOST).long()
            steps, moves, effects = steps[some], moves[some], effects[some]
        length = torch.linalg.vecdot(moves, moves)[:, None].clamp_min(torch.finfo(moves.dtype).tiny)
        rest = torch.addcmul(effects, torch.linalg.vecdot(moves, effects)[:, None] / length, moves, value=-1)
        weights = self.weights[steps]
        self.trust = self._trust(weights, moves, rest)
        length /= moves.shape[1]
        spread = weights.T
        self.products.mul_(KEPT).addmm_(spread, moves * effects / length)
        self.squares.mul_(KEPT).addmm_(spread, moves.square() / length)
        whole = self.squares.sum(1, keepdim=True).clamp_min(torch.finfo(moves.dtype).tiny)
        common = self.products.sum(1, keepdim=True) / whole
        self.lean = torch.addcmul(self.products, common, self.squares, value=-1) / (self.squares + RIDGE)

    def _trust(self, weights: Tensor, moves: Tensor, rest: Tensor) -> Tensor:
        """(G, 1) in 0..1: how much of the lean best explains what each step's common slope left over."""
        told = (weights @ self.lean).mul_(moves)
        left = torch.linalg.vecdot(rest, rest).clamp_min(torch.finfo(rest.dtype).tiny)
        agree, size = torch.linalg.vecdot(rest, told) / left, torch.linalg.vecdot(told, told) / left
        found = weights.T @ torch.stack([agree, size], 1)
        # neighbouring knots share what they saw: one step or two at a knot say little
        found[1:-1] = 0.25 * found[:-2] + 0.5 * found[1:-1] + 0.25 * found[2:]
        return (found[:, :1] / found[:, 1:].clamp_min(torch.finfo(rest.dtype).tiny)).clamp_(0, 1)

    def at(self, first: int) -> Tensor | None:
        """(M, E): the leans of steps first.., in shares of the reach; None where none is worth the work."""
        if not self.trust.max() > USEFUL:
            return None
        return self.weights[first:] @ (self.trust * self.lean)


def knots(place: Tensor) -> Tensor:
    """(N, G) of place's dtype: the weights of knots a distance of 1 apart in steps at `place`, (N,); rows add to 1."""
    at = place - place.min()
    knot = torch.arange(int(at.max().ceil()) + 1, dtype=at.dtype, device=at.device)
    return (1 - (at[:, None] - knot).abs()).clamp_min(0)
