"""(I - J)^{-1} and its transpose at a point, sample by sample: what derivatives of fixed points are made of."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from deqbench.solvers.linear import Affine, Jacobian, gmres
from deqbench.solvers.solve import Solver, solve


class NotConverged(UserWarning):
    """A solve, forward or of an adjoint, that ended short of its tolerance."""


@dataclass(frozen=True)
class LinearSolve:
    """The residuals that one solve with I - J or its transpose reached, and its cost."""

    transposed: bool  # an adjoint solve; the others serve second derivatives
    relative: Tensor  # (B,) float64, residual over the longer of right-hand side and solution; 0 where both are 0
    products: int  # with J or its transpose, samples together
    evaluations: int  # samples passed through f to linearise it


class Resolvent:
    """(I - J)^{-1} and its transpose for J = df/dz at z, (B, *dims), f treating samples by themselves.

    adjoint: gmres, dense (one factorisation of I - J a sample serves all solves) or a solver of fixed points, to tol
    relative within max_iter products. `solves` says what each solve took.
    """

    def __init__(
        self,
        f: Callable[[Tensor], Tensor],
        z: Tensor,
        *,
        adjoint: str | Solver = "anderson",
        tol: float = 1e-6,
        max_iter: int = 100,
    ) -> None:
        self.f, self.z, self.adjoint, self.tol, self.max_iter = f, z.detach(), adjoint, tol, max_iter
        self.solves: list[LinearSolve] = []
        self._factors: tuple[Tensor, Tensor, Tensor] | None = None

    def solve(self, b: Tensor, transposed: bool = True) -> Tensor:
        """The solution of v = b + J^T v, or of v = b + J v, (B, *dims), without a graph."""
        return self.solve_with_residual(b, transposed)[0]

    @torch.no_grad()
    def solve_with_residual(self, b: Tensor, transposed: bool) -> tuple[Tensor, Tensor]:
        """The same, and the absolute residual of each sample, (B,) float64; nan where either is not finite.

        Warns by NotConverged of samples short of tol, and of any that is not finite.
        """
        J = None if self._factors else Jacobian(self.f, self.z)
        if self.adjoint == "dense":
            v, moved = self._dense(J, b, transposed)
        elif J is not None:
            v, moved = self._iterated(J.transposed if transposed else J.times, b)
        residual = lengths(moved - v)
        v = torch.where(residual.isfinite().view(-1, *[1] * (v.dim() - 1)), v, torch.nan)
        relative = residual / torch.maximum(lengths(moved), lengths(b)).clamp_min(torch.finfo(torch.float64).tiny)
        products, evaluations = (0, 0) if J is None else (J.products, len(b))
        self.solves.append(LinearSolve(transposed, relative.cpu(), products, evaluations))
        bound = self.tol + 10 * torch.finfo(b.dtype).eps if self.tol > 0 else torch.inf
        name = self.adjoint if isinstance(self.adjoint, str) else type(self.adjoint).__name__
        what = f"{'adjoint' if transposed else 'tangent'} solve by {name}"
        warn_of_short(what, ~(relative <= bound), relative, self.tol, f"{products // len(b)} products")
        return v, residual

    def _iterated(self, product: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, Tensor]:
        """v and b + A v for the product v -> A v."""
        if self.adjoint == "gmres":
            v, residual, _ = gmres(product, b, self.tol, self.max_iter)
            return v, v + residual
        solution = solve(Affine(product, b), b, solver=self.adjoint, tol=self.tol, max_iter=self.max_iter)
        return solution.state, solution.z  # the state's residual is known, that of the evaluation would cost a product

    def _dense(self, J: Jacobian | None, b: Tensor, transposed: bool) -> tuple[Tensor, Tensor]:
        """The same by one factorisation of I - J a sample, which serves all solves."""
        if J is not None:
            matrix = J.dense()
            unit = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
            self._factors = (matrix, *torch.linalg.lu_factor_ex(unit - matrix)[:2])
        matrix, *factors = self._factors  # type: ignore[misc]
        right = b.reshape(*matrix.shape[:2], 1)
        v = torch.linalg.lu_solve(*factors, right, adjoint=transposed)
        return v.view(b.shape), (right + (matrix.mT if transposed else matrix) @ v).view(b.shape)


def lengths(x: Tensor) -> Tensor:
    """The 2-norms of samples (B, *dims): (B,) float64."""
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    return torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)


def warn_of_short(what: str, short: Tensor, relative: Tensor, tol: float, after: str) -> None:
    """Warns by NotConverged of the samples short of a tolerance, if any: short (B,) bool, relative residuals (B,)."""
    if short.any():
        worst = relative[short].nan_to_num(nan=torch.inf).max()
        sentence = f"{what}: {int(short.sum())} of {len(short)} samples are short of tol {tol:g} after {after}; "
        warnings.warn(f"{sentence}the largest relative residual is {float(worst):.2g}", NotConverged, stacklevel=3)
