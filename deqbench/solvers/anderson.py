"""Anderson acceleration, types I and II, with weights per sample or per sample and timestep."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from deqbench.solvers.solve import LONGEST_BLOCK, block_length, register


@register("anderson")
@dataclass(frozen=True, kw_only=True)
class Anderson:
    """Mix the last m evaluations with weights of sum 1, so chosen that the same mix of their residuals is small.

    With residuals g_i = f(x_i) - x_i and differences of consecutive rounds, dF and dG (so dX = dF - dG), the next state
    is f_k - dF gamma - (1 - beta) (g_k - dG gamma). Type II takes gamma = argmin ||g_k - dG gamma||; type I solves
    dX^T dG gamma = dX^T g_k. A result that diverges calls for a smaller m or beta, or a larger ridge.

    m: evaluations mixed; 1 is Picard's iteration. beta in (0, 1]: damping; damp_first=False leaves out the first step.
    ridge_kind "relative": each squared length on the diagonal of dG^T dG grows by this share, so that old, long
    differences do not drown the recent short ones (type I: the same on the normal equations of its system, scaled to
    unit rows and columns). Shares below the rounding of the dot products are raised to it, so that no system is
    singular. "absolute", type II only: ridge * ||weights||^2 joins the minimum, lengths of the state's own units.
    mixing "chain": one set of weights a sample. "timestep": one for each index of dim 1 of a state (B, N, *dims).

    Source: DEQ-DDIM, eq. 12, mixes the chain as one vector; its code mixes each timestep by itself (RELEASED). Fang and
    Saad, "Two classes of multisecant methods for nonlinear acceleration" (2009), define both types. ValueError: a
    setting out of range.
    """

    kind: Literal["I", "II"] = "II"
    m: int = 5
    beta: float = 1.0
    ridge: float = 1e-10
    ridge_kind: Literal["relative", "absolute"] = "relative"
    mixing: Literal["chain", "timestep"] = "chain"
    damp_first: bool = True

    def __post_init__(self) -> None:
        choices = {"kind": ("I", "II"), "ridge_kind": ("relative", "absolute"), "mixing": ("chain", "timestep")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}; found {getattr(self, name)!r}")
        if self.m < 1:
            raise ValueError(f"m: expected at least 1, found {self.m}")
        if not 0 < self.beta <= 1:
            raise ValueError(f"beta: expected a number in (0, 1], found {self.beta}")
        if not self.ridge >= 0:
            raise ValueError(f"ridge: expected a number of at least 0, found {self.ridge}")
        if self.kind == "I" and self.ridge_kind == "absolute":
            raise ValueError("ridge_kind: type I has no absolute ridge; use relative")

    def start(self, z0: Tensor) -> "Window":
        """An empty window. ValueError: mixing per timestep of a state without dim 1."""
        if self.mixing == "timestep" and z0.dim() < 2:
            raise ValueError(f"mixing: timestep needs a state (B, N, *dims), found shape {tuple(z0.shape)}")
        return Window(self, z0)


# Uses the sum-to-one system of GG^T + 1e-3 I of the released DEQ-DDIM code (which returns FixedPoint.state, not z).
RELEASED = Anderson(m=5, ridge=1e-3, ridge_kind="absolute", mixing="timestep", damp_first=False)


class Window:
    """The last m rounds of B samples: R = B (or B * N) rows with weights of their own, each of C blocks of c values.

    Rings of m - 1 differences, filled round robin, and one more slot with the latest evaluation and residual. The dot
    products of the differences are kept, so that each round adds one row and reads every vector once.
    """

    def __init__(self, settings: Anderson, z0: Tensor) -> None:
        self.settings, self.shape = settings, z0.shape[1:]
        self.rows = 1 if settings.mixing == "chain" else z0.shape[1]  # of a sample
        width = z0[:1].numel() // max(self.rows, 1)
        self.c = block_length(width)
        self.C = width // max(self.c, 1)
        self.F = z0.new_empty(settings.m, len(z0) * self.rows * self.C, self.c)  # differences, last the latest f(x)
        self.G = torch.empty_like(self.F)  # differences, last the latest residual
        self.dots = z0.new_zeros(len(z0) * self.rows, settings.m - 1, settings.m - 1, dtype=torch.float64)
        self.seen = 0

    def select(self, keep: Tensor) -> None:
        """Forget all samples but keep, (B',) int64."""
        per_sample = (-1, self.rows * self.C, self.c)
        self.F, self.G = (ring.unflatten(1, per_sample[:2])[:, keep].flatten(1, 2) for ring in (self.F, self.G))
        self.dots = self.dots.unflatten(0, (-1, self.rows))[keep].flatten(0, 1)

    def step(self, state: Tensor, fz: Tensor, residual: Tensor) -> Tensor:
        """The next state, (B, *dims)."""
        f, g = fz.reshape(self.F.shape[1:]), residual.reshape(self.F.shape[1:])
        newest = (self.seen - 1) % max(self.settings.m - 1, 1)
        n = min(self.seen, self.settings.m - 1)
        if n:
            torch.sub(f, self.F[-1], out=self.F[newest])
            torch.sub(g, self.G[-1], out=self.G[newest])
        self.F[-1], self.G[-1] = f, g
        self.seen += 1
        beta = self.settings.beta if self.seen > 1 or self.settings.damp_first else 1.0
        if n == 0:
            return fz.clone() if beta == 1 else torch.add(state, residual, alpha=beta)
        weights = (
            self._gamma(n, newest).to(f.dtype)[:, None, None].expand(-1, self.C, 1, n).flatten(0, 1)
        )  # (R C, 1, n)
        mixed = _less(f, weights, self.F[:n])
        if beta < 1:
            mixed = torch.add(mixed, _less(g, weights, self.G[:n]), alpha=beta - 1)
        return mixed.view(fz.shape)

    def _gamma(self, n: int, newest: int) -> Tensor:
        """The weights of the n differences, (R, n) float64, after the newest one's dot products joined the others."""
        pair = self.G[newest :: self.settings.m - 1 - newest][:2]  # dg and g, a view
        columns = self._dot(pair, self.G[:n])
        row = columns[:, 0]
        if self.settings.kind == "I":  # with dX = dF - dG in the place of dG on the left
            row = self._dot(self.F[newest : newest + 1], self.G[:n])[:, 0] - row
            columns = self._dot(pair, self.F[:n]) - columns
        self.dots[:, newest, :n], self.dots[:, :n, newest] = row, columns[:, 0]
        dots, right, rounding = self.dots[:, :n, :n], columns[:, 1], n * torch.finfo(self.G.dtype).eps
        if self.settings.kind == "I":
            return solve_secant(dots, right, max(self.settings.ridge, rounding))
        if self.settings.ridge_kind == "relative":
            return solve_gram(dots, right, max(self.settings.ridge, rounding))
        penalty = self.settings.ridge * weight_penalty(n, newest).to(dots)
        return solve_gram(dots + penalty[:, :n], right + penalty[:, n], rounding)

    def _dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Dot products of (a, R C, c) and (b, R C, c), block by block: (R, a, b) float64."""
        if self.c > LONGEST_BLOCK:
            left, right = left.double(), right.double()
        blocks = torch.bmm(left.transpose(0, 1), right.permute(1, 2, 0))  # (R C, a, b)
        return blocks.double().unflatten(0, (-1, self.C)).sum(1)


def _less(f: Tensor, weights: Tensor, differences: Tensor) -> Tensor:
    """f - differences * weights in one pass: (R C, c), (R C, 1, n), (n, R C, c) -> (R C, c)."""
    return torch.baddbmm(f[:, None], weights, differences.transpose(0, 1), alpha=-1)[:, 0]


def solve_gram(gram: Tensor, right: Tensor, ridge: float) -> Tensor:
    """The solution of gram + ridge * diag(gram), (R, n, n) positive semidefinite; a difference of length 0 gets 0."""
    gram = gram.clone()
    diagonal = gram.diagonal(dim1=1, dim2=2).mul_(1 + ridge)
    diagonal.masked_fill_(diagonal == 0, 1.0)
    return torch.linalg.solve_ex(gram, right)[0]


def solve_secant(matrix: Tensor, right: Tensor, ridge: float) -> Tensor:
    """The ridge solution of a matrix (R, n, n) of any sign, scaled to unit rows and columns; empty ones get 0."""
    rows = matrix.norm(dim=2, keepdim=True)
    scaled = matrix / rows.masked_fill(rows == 0, 1)
    columns = scaled.norm(dim=1, keepdim=True)
    columns = columns.masked_fill(columns == 0, 1)
    scaled = scaled / columns
    right = scaled.mT @ (right[:, :, None] / rows.masked_fill(rows == 0, 1))
    normal = scaled.mT @ scaled + ridge * torch.eye(matrix.shape[1]).to(matrix)
    return torch.linalg.solve_ex(normal, right)[0][:, :, 0] / columns[:, 0]


@lru_cache
def weight_penalty(n: int, newest: int) -> Tensor:
    """||weights||^2 as a function of gamma, [A, b] of shape (n, n + 1), for n ring slots of which newest is the last.

    The oldest state weighs gamma_1, the next gamma_2 - gamma_1, ..., the latest 1 - gamma_n: A = tridiag(-1, 2, -1) in
    order of age, and b is 1 at the newest.
    """
    penalty = torch.zeros(n, n + 1, dtype=torch.float64)
    for slot in range(n):
        penalty[slot, slot] = 2
        if slot != newest:
            younger = (slot + 1) % n
            penalty[slot, younger] = penalty[younger, slot] = -1
    penalty[newest, n] = 1
    return penalty
