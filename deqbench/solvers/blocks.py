"""Blocks z -> softplus(W z + g), dense or convolutional, and (I - D W)^{-1} for them, D = diag(softplus'(W z + g))."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import grad

from deqbench.solvers.linear import Affine, series
from deqbench.solvers.resolvent import LinearSolve, warn_of_short
from deqbench.solvers.solve import Solver, solve


@dataclass(frozen=True, eq=False)
class Dense:
    """W (n, n), or one for each group (G, n, n) of states (G, B, n). A stack of directions P stands in front."""

    weight: Tensor

    @property
    def groups(self) -> int:
        """How many axes stand before that of the samples."""
        return self.weight.ndim - 2

    def __call__(self, z: Tensor, g: Tensor) -> Tensor:
        """The next state of z (*groups, B, n), whose input is g; either may be a jet."""
        return softplus(torch.matmul(z, self.weight.mT) + g)

    def times(self, x: Tensor) -> Tensor:
        """W x, (..., n)."""
        return x @ self.weight.mT

    def transposed(self, x: Tensor) -> Tensor:
        """W' x, (..., n)."""
        return x @ self.weight

    def outer(self, left: Tensor, right: Tensor) -> Tensor:
        """The gradient of sum(left * (W right)) with respect to W: both (K, *groups, B, n)."""
        if self.groups:
            return torch.einsum("kgbi,kgbj->gij", left, right)
        return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


@dataclass(frozen=True, eq=False)
class Convolution:
    """W as a kernel (C, C, k, k), k odd, with zeros around states (B, C, H, W)."""

    weight: Tensor
    groups: int = 0

    @property
    def padding(self) -> int:
        """Of both sides."""
        return self.weight.shape[-1] // 2

    def __call__(self, z: Tensor, g: Tensor) -> Tensor:
        """The next state of z, whose input is g; either may be a jet."""
        return softplus(F.conv2d(z, self.weight, None, 1, self.padding) + g)

    def times(self, x: Tensor) -> Tensor:
        """W x, (..., C, H, W)."""
        return F.conv2d(x.flatten(0, -4), self.weight, padding=self.padding).view(x.shape)

    def transposed(self, x: Tensor) -> Tensor:
        """W' x, (..., C, H, W)."""
        return F.conv_transpose2d(x.flatten(0, -4), self.weight, padding=self.padding).view(x.shape)

    def outer(self, left: Tensor, right: Tensor) -> Tensor:
        """The gradient of sum(left * (W right)) with respect to W: both (K, B, C, H, W)."""
        size, padding = list(self.weight.shape), self.padding
        return grad.conv2d_weight(right.flatten(0, -4), size, left.flatten(0, -4), padding=padding)


Block = Dense | Convolution
Product = Callable[[Tensor, Tensor], Tensor]  # of a stack of directions and the slopes


def softplus(a: Any) -> Any:
    """log(1 + exp(a)); of a plain tensor without a graph by functions that torch vectorises on a processor.

    log(1 + e) in place of log1p(e) is off by a rounding of 1, in absolute terms as small as any of a sum with it.
    """
    if isinstance(a, Tensor) and not (a.requires_grad and torch.is_grad_enabled()):
        return a.abs().neg_().exp_().add_(1).log_().add_(a.clamp(min=0))
    return F.softplus(a)


class Factorised:
    """(I - D W)^{-1} of a dense block, one factorisation a sample."""

    def __init__(self, block: Dense, slope: Tensor) -> None:
        system = slope[..., None] * -block.weight.unsqueeze(-3)  # (*groups, B, n, n)
        system.diagonal(dim1=-2, dim2=-1).add_(1)
        self.factors = torch.linalg.lu_factor(system)
        self.solves: list[LinearSolve] = []

    def times(self, b: Tensor) -> Tensor:
        """(I - D W)^{-1} b, (P, *groups, B, n)."""
        return torch.linalg.lu_solve(*self.factors, b.movedim(0, -1)).movedim(-1, 0)

    def transposed(self, b: Tensor) -> Tensor:
        """The same of the transpose."""
        return torch.linalg.lu_solve(*self.factors, b.movedim(0, -1), adjoint=True).movedim(-1, 0)


@dataclass(frozen=True, eq=False)
class Iterated:
    """(I - D W)^{-1} of any block by a solver of fixed points, to a relative tolerance; nothing of a solve is kept."""

    block: Block
    slope: Tensor  # (B, ...), the diagonal of D
    solver: str | Solver
    tol: float
    max_iter: int
    solves: list[LinearSolve] = field(default_factory=list)

    def times(self, b: Tensor) -> Tensor:
        """(I - D W)^{-1} b, (P, B, ...)."""
        return self._solved(b, lambda v, slope: slope * self.block.times(v), False)

    def transposed(self, b: Tensor) -> Tensor:
        """The same of the transpose."""
        return self._solved(b, lambda v, slope: self.block.transposed(slope * v), True)

    def _solved(self, b: Tensor, product: Product, transposed: bool) -> Tensor:
        axes = self.block.groups + 1  # (P, *groups, B) as one
        slope = self.slope.expand(b.shape)
        if axes == 2:  # a group's weight belongs to its own axis

            def product(v: Tensor, slope: Tensor, own: Product = product) -> Tensor:
                return own(v.view(b.shape), slope.view(b.shape)).view(v.shape)

        flat, slope = b.flatten(0, axes), slope.flatten(0, axes)
        if self.solver == "picard":
            v, relative, rounds = series(lambda v: product(v, slope), flat, self.tol, self.max_iter)
            products = rounds * len(flat)
        else:
            affine = Affine(lambda v: product(v, slope), flat)
            solution = solve(affine, flat, solver=self.solver, tol=self.tol, max_iter=self.max_iter, stop="batch")
            v, relative, products = solution.z, solution.last, solution.evaluations
        relative = relative.double().cpu()
        self.solves.append(LinearSolve(transposed, relative, products, 0))
        if self.tol > 0:
            what = f"{'adjoint' if transposed else 'tangent'} solve by {self.solver}"
            warn_of_short(what, ~(relative <= 10 * self.tol), relative, self.tol, f"{self.max_iter} products")
        return v.view(b.shape)


Inverse = Factorised | Iterated
