"""A dense block in float64 with its derivatives at hand, and how they make those of its fixed point.

Source: DEQ score matching, eqs. 8 to 10 and appendix A.1. Its notation is kept: f_zx[k, a, i] is the derivative of
component k with respect to z_a and x_i.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from deqbench.solvers.implicit import fixed_point

PICARD, NEWTON = 100, 6  # rounds to a fixed point that is exact to rounding


@dataclass(frozen=True)
class Block:
    """f(z, x) = softplus(W z + U x + b), (B, n), (B, d) -> (B, n)."""

    W: Tensor  # (n, n)
    U: Tensor  # (n, d)
    b: Tensor  # (n,)

    def __call__(self, z: Tensor, x: Tensor) -> Tensor:
        return F.softplus(self._inside(z, x), threshold=torch.inf)

    def _inside(self, z: Tensor, x: Tensor) -> Tensor:
        return z @ self.W.T + x @ self.U.T + self.b

    def solved(self, x: Tensor) -> Tensor:
        """The fixed points (B, n) at x (B, d), by Picard's iteration and then by Newton's."""
        z = x.new_zeros(len(x), len(self.b))
        for _ in range(PICARD):
            z = self(z, x)
        unit = torch.eye(len(self.b), dtype=x.dtype)
        for _ in range(NEWTON):
            J = self._inside(z, x).sigmoid()[:, :, None] * self.W  # (B, n, n)
            z = z + torch.linalg.solve(unit - J, self(z, x) - z)
        return z

    def parts(self, x: Tensor) -> "Parts":
        """The derivatives of f at its fixed point of one x (d,)."""
        inside = self._inside(self.solved(x[None]), x[None])[0]
        s1 = inside.sigmoid()  # (n,)
        s2 = s1 * (1 - s1)
        return Parts(
            J=s1[:, None] * self.W,
            f_x=s1[:, None] * self.U,
            f_xx=torch.einsum("k,ki,kj->kij", s2, self.U, self.U),
            f_zx=torch.einsum("k,ka,ki->kai", s2, self.W, self.U),
            f_zz=torch.einsum("k,ka,kb->kab", s2, self.W, self.W),
        )


@dataclass(frozen=True)
class Parts:
    """First and second derivatives of f(z, x) at a fixed point."""

    J: Tensor  # (n, n)
    f_x: Tensor  # (n, d)
    f_xx: Tensor  # (n, d, d)
    f_zx: Tensor  # (n, n, d)
    f_zz: Tensor  # (n, n, n)

    @property
    def radius(self) -> float:
        """The largest modulus of an eigenvalue of J."""
        return float(torch.linalg.eigvals(self.J).abs().max())

    def inside(self, first: Tensor) -> Tensor:
        """What stands in the large brackets of eq. 9, (n, d, d), for a first derivative (n, d)."""
        crossed = torch.einsum("kaj,ai->kij", self.f_zx, first)
        return self.f_xx + crossed + crossed.mT + torch.einsum("kab,ai,bj->kij", self.f_zz, first, first)

    def solve(self, right: Tensor) -> Tensor:
        """(I - J)^{-1} times (n, ...)."""
        unit = torch.eye(len(self.J), dtype=right.dtype)
        return torch.linalg.solve(unit - self.J, right.flatten(1)).view(right.shape)

    def implicit(self) -> tuple[Tensor, Tensor]:
        """The fixed point's first derivative (n, d) by eq. 8 and its second one (n, d, d) by eq. 9."""
        first = self.solve(self.f_x)
        return first, self.solve(self.inside(first))

    def series(self, K: int) -> Tensor:
        """The sum of J^k from 0 to K - 1, (n, n)."""
        total, power = torch.zeros_like(self.J), torch.eye(len(self.J), dtype=self.J.dtype)
        for _ in range(K):
            total, power = total + power, power @ self.J
        return total

    def ordered(self, K: int) -> Tensor:
        """The second derivative of z^(K), (n, d, d): J times the one before, and eq. 9's brackets at the one before."""
        first, second = torch.zeros_like(self.f_x), torch.zeros_like(self.f_xx)
        for _ in range(K):
            first, second = self.J @ first + self.f_x, _times(self.J, second) + self.inside(first)
        return second

    def recursion(self, K: int, *, first: float) -> Tensor:
        """The same by the matrices A_K, B_K, C_K of the proof of Proposition 2; A_0 is `first` times I.

        The paper prints I. Its factors stand before f_zx and f_zz, where differentiation leaves them behind.
        """
        J, n = self.J, len(self.J)
        unit = torch.eye(n, dtype=J.dtype)
        A, B, C, S = first * unit, 0 * unit, 0 * unit, 0 * unit
        for _ in range(K):
            A, B, C = J @ A + unit, J @ B + S, J @ C + S @ S
            S = J @ S + unit  # of this K's k - 1 terms, the next one's
        return self._weighed(A, B, C)

    def recursion_limit(self) -> Tensor:
        """Where the recursion of the proof ends by its own word: A, B, C = (I - J)^{-1}, its square and its cube."""
        M = self.solve(torch.eye(len(self.J), dtype=self.J.dtype))
        return self._weighed(M, M @ M, M @ M @ M)

    def _weighed(self, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        crossed = torch.einsum("kaj,ai->kij", self.f_zx, self.f_x)
        squared = torch.einsum("kab,ai,bj->kij", self.f_zz, self.f_x, self.f_x)
        return _times(A, self.f_xx) + _times(B, crossed + crossed.mT) + _times(C, squared)


def _times(matrix: Tensor, of: Tensor) -> Tensor:
    return torch.einsum("kl,lij->kij", matrix, of)


def by_autograd(block: Block, x: Tensor, **settings: object) -> tuple[Tensor, Tensor]:
    """First (n, d) and second derivatives (n, d, d) of `fixed_point` at x (d,), which is differentiated twice.

    A copy of x for each component and direction: two backward passes give all entries.
    """
    n, d = block.U.shape
    component, direction = torch.arange(n).repeat_interleave(d), torch.arange(d).repeat(n)
    rows = x.expand(n * d, d).clone().requires_grad_()
    start = block.solved(rows.detach())
    z = fixed_point(block, start, rows, solver="picard", tol=1e-12, **settings).z  # type: ignore[arg-type]
    (first,) = torch.autograd.grad(z.gather(1, component[:, None]).sum(), rows, create_graph=True)
    (second,) = torch.autograd.grad(first.gather(1, direction[:, None]).sum(), rows)
    return first.detach().view(n, d, d)[:, 0], second.view(n, d, d)


def by_differences(block: Block, x: Tensor, h: float = 1e-5, h2: float = 2e-4) -> tuple[Tensor, Tensor]:
    """The same by central differences of the solved fixed point: of steps h, and h2 for the second derivatives."""
    d = len(x)
    unit = torch.eye(d, dtype=x.dtype)
    first = (block.solved(x + h * unit) - block.solved(x - h * unit)) / (2 * h)  # (d, n)
    both, apart = unit[:, None] + unit, unit[:, None] - unit  # (d, d, d)
    corners = [block.solved((x + s * h2 * steps).flatten(0, 1)) for steps in (both, apart) for s in (1, -1)]
    second = (corners[0] + corners[1] - corners[2] - corners[3]) / (4 * h2**2)  # (d d, n)
    return first.T, second.T.reshape(-1, d, d)


def apart(made: Tensor, right: Tensor) -> float:
    """The Frobenius norm of the difference over that of what is right."""
    return float((made - right).norm() / right.norm())
