"""Broyden's first ("good") method with limited memory, for each sample by itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from deqbench.bounds import Whole
from deqbench.registry import hold
from deqbench.solvers.anderson import block_dots
from deqbench.solvers.norms import block_length, norms


@dataclass(frozen=True, kw_only=True)
class Broyden:
    """z <- z - H g with g = f(z) - z and H an approximation of the inverse Jacobian of g, at first -I.

    After a step s that moved g by y, H becomes H + (s - H y) s^T H / (s^T H y): the Jacobian that it stands for maps s
    to y and changes least. H is kept as -I and m terms of rank one; the oldest is dropped before the next is made, so
    that the newest pair is always met. There is no line search: a round is one evaluation. Too few terms can make a run
    diverge that converges with more.

    m: terms kept, two vectors of the state's size each; 30 as in deep-equilibrium codes, 0 is Picard's iteration.

    Source: Broyden, "A class of methods for solving nonlinear simultaneous equations" (1965), his first ("good") one;
    the start -I and plain steps are those of deep-equilibrium codes. ValueError: m < 0.
    """

    m: Whole = 30

    def __post_init__(self) -> None:
        hold(self)

    def start(self, z0: Tensor) -> "Inverse":
        """H = -I."""
        return Inverse(self.m, z0)


SOLVER = Broyden


class Inverse:
    """H = -I + sum_i u_i v_i^T of B samples, each vector in C blocks of c values (see block_dots).

    The v_i are made for steps of unit length, so that neither they nor the u_i leave the dtype's range where the states
    are very long or short.
    """

    def __init__(self, m: int, z0: Tensor) -> None:
        self.m, self.seen = m, 0
        width = z0[:1].numel()
        self.c = block_length(width)
        self.C = width // max(self.c, 1)
        self.U = z0.new_empty(m, len(z0) * self.C, self.c)
        self.V = torch.empty_like(self.U)
        self.s = self.g = z0.new_empty(len(z0) * self.C, self.c)

    def select(self, keep: Tensor) -> None:
        """Forget all samples but keep, (B',) int64."""
        self.U, self.V = (ring.unflatten(1, (-1, self.C))[:, keep].flatten(1, 2) for ring in (self.U, self.V))
        self.s, self.g = (last.unflatten(0, (-1, self.C))[keep].flatten(0, 1) for last in (self.s, self.g))

    def step(self, state: Tensor, fz: Tensor, residual: Tensor) -> Tensor:
        """The next state, (B, *dims)."""
        g = residual.reshape(-1, self.c).clone()
        self.s = g if self.m == 0 or self.seen == 0 else self._following(g)
        self.g = g
        self.seen += 1
        return state + self.s.view(state.shape)

    def _following(self, g: Tensor) -> Tensor:
        """The step -H g, (B C, c), with H brought to what the last step has shown."""
        length = torch.from_numpy(norms(self.s.view(-1, self.C * self.c))[0]).to(g)
        unit = self.s / self._spread(length.clamp_min(torch.finfo(g.dtype).tiny))
        n, slot = min(self.seen - 1, self.m), (self.seen - 1) % self.m
        kept = torch.arange(n, device=g.device) != slot  # a full ring loses the term that this round overwrites
        v = -unit + self._product(self.V[:n], self.U[:n], unit, kept)
        Hy, Hg = (-x + self._product(self.U[:n], self.V[:n], x, kept) for x in (g - self.g, g))
        vy, vg = (self._dot(v, x) for x in (g - self.g, g))
        u = (self.s - Hy) / self._spread(vy.to(g))
        usable = (u.isfinite() & v.isfinite()).unflatten(0, (-1, self.C)).flatten(1).all(1)  # vy may be 0
        usable = self._spread(usable)
        self.U[slot] = torch.where(usable, u, 0)
        self.V[slot] = torch.where(usable, v, 0)
        return -Hg - self.U[slot] * self._spread(vg.to(g))

    def _product(self, left: Tensor, right: Tensor, x: Tensor, kept: Tensor) -> Tensor:
        """sum_i left_i (right_i . x) over the kept terms: rings (n, B C, c) and x (B C, c) -> (B C, c)."""
        weights = block_dots(right.transpose(0, 1), x[:, :, None], self.C)[:, :, 0] * kept  # (B, n)
        return torch.bmm(self._spread(weights.to(x))[:, None], left.transpose(0, 1))[:, 0]

    def _dot(self, x: Tensor, y: Tensor) -> Tensor:
        """(B C, c) twice -> (B,) float64."""
        return block_dots(x[:, None], y[:, :, None], self.C)[:, 0, 0]

    def _spread(self, x: Tensor) -> Tensor:
        """A value (or n) of each sample for all its blocks: (B, ...) -> (B C, 1) or (B C, n)."""
        return (x if x.dim() == 2 else x[:, None]).repeat_interleave(self.C, dim=0)
