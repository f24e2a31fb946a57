"""A fixed point z = f(z, x) of any solver that can be differentiated: exactly, once, twice or more often, or roughly.

The exact derivative rests on attached Newton steps. From the solution z_0, a constant, with M = (I - J)^{-1} and
J = df/dz at z_0, a constant too,

    z_{k+1} = z_k + M (f(z_k) - z_k)                                                                             (1)

leaves the value where it is, and after K steps the first K derivatives of z_K with respect to anything that f depends
on are those of the fixed point: for an error of order p in a change of the parameters, (1) leaves one of order p + 1.
M is the one new operation, and the derivative of M is M^T, the adjoint solve, whose derivative is M again.

Source: the implicit function theorem; phantom gradients: Geng et al., "On training implicit models" (2021).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.solvers.picard import Picard
from deqbench.solvers.resolvent import LinearSolve, Resolvent, lengths, warn_of_short
from deqbench.solvers.solve import FixedPoint, Solver, one_of, solve, solvers

Derivative = Literal["exact", "phantom", "unrolled"]


@dataclass(frozen=True)
class Equilibrium(FixedPoint):
    """A fixed point whose z carries the graph, and the linear solves that its derivatives took so far, in order."""

    linear_solves: list[LinearSolve] = field(default_factory=list)  # grows with every backward pass

    @property
    def products(self) -> int:
        """Products with J or its transpose in all backward passes so far, samples together."""
        return sum(one.products for one in self.linear_solves)


def fixed_point(
    f: Callable[..., Tensor],
    z0: Tensor,
    *inputs: Tensor,
    solver: str | Solver = "anderson",
    tol: float = 1e-6,
    atol: float = 0.0,
    max_iter: int = 100,
    derivative: Derivative = "exact",
    order: int = 2,
    adjoint: str | Solver = "anderson",
    adjoint_tol: float | None = None,
    adjoint_max_iter: int | None = None,
    steps: int = 1,
    tau: float = 1.0,
    on_round: Callable[..., object] | None = None,
    **options: Any,
) -> Equilibrium:
    """The solution of z = f(z, *inputs), (B, *dims), from the start z0; its z can be differentiated.

    f treats samples by themselves, keeps shape and dtype, and gives the same value at each call (no dropout). Gradients
    reach the inputs, the parameters of modules, and every tensor that f makes use of. A start from an earlier solution
    is a constant. solver, tol, atol, max_iter, on_round, options: see deqbench.solvers.solve.

    derivative:
    exact: the implicit one, right for up to `order` differentiations; one more raises RuntimeError. Each order keeps
      the graph of one evaluation of f, and nothing of the solve is kept. adjoint solves the linear systems: gmres,
      dense (I - J of each sample is factorised, for short states), or any solver, such as anderson and picard (the
      Neumann series), to adjoint_tol relative within adjoint_max_iter products (None: tol and max_iter).
    phantom: that of `steps` damped steps z <- z + tau (f(z) - z) from the solution as a constant.
    unrolled: that of damped steps from z0, which take the solver's place and are all kept.

    Solves that end short of a tolerance other than 0 warn by NotConverged; result and warning hold the residuals.
    Without grad mode it is `solve`; torch.func and vmap cannot pass through. ValueError, TypeError: a setting out of
    range or unknown.
    """
    _check(derivative, order, adjoint, steps, tau)
    map_ = f if not inputs else lambda z: f(z, *inputs)
    method: str | Solver = Picard(damping=tau) if derivative == "unrolled" else solver
    solved = solve(
        map_, z0.detach(), solver=method, tol=tol, atol=atol, max_iter=max_iter, on_round=on_round, **options
    )
    if (tol > 0 or atol > 0) and not (converged := solved.converged).all():
        what = f"fixed point, atol {atol:g}" if atol else "fixed point"
        warn_of_short(what, ~converged, solved.last, tol, f"{max_iter} rounds")
    system = Resolvent(
        map_,
        solved.z,
        adjoint=adjoint,
        tol=tol if adjoint_tol is None else adjoint_tol,
        max_iter=max_iter if adjoint_max_iter is None else adjoint_max_iter,
    )
    z = solved.z
    if torch.is_grad_enabled():
        if derivative == "exact":
            z = attached(system, order)
        elif derivative == "phantom":
            z = damped_steps(map_, z, steps, tau)
        else:
            z = damped_steps(map_, z0, max(solved.rounds.tolist(), default=0), tau)
    return Equilibrium(**{**vars(solved), "z": z}, linear_solves=system.solves)


def damped_steps(f: Callable[[Any], Any], z: Any, steps: int, tau: float) -> Any:
    """The state, a tensor or a jet, after `steps` steps z <- (1 - tau) z + tau f(z), with their graph."""
    for _ in range(steps):
        z = torch.lerp(z, f(z), tau)
    return z


def attached(system: Resolvent, order: int) -> Tensor:
    """z after `order` attached Newton steps, eq. 1; z itself where f depends on nothing that wants a gradient."""
    z = system.z
    left = z.new_full((len(z),), torch.inf, dtype=torch.float64)
    for k in range(order):
        fz = system.f(z)
        if not fz.requires_grad:
            break
        step, left = _Newton.apply(fz - z, left, system, False, order if k == 0 else None)
        z = z + step
    return z


class _Newton(torch.autograd.Function):
    """b -> M b, or M^T b, with all derivatives.

    Through the steps before it, (1) hands on to them what it has not solved for: the residual of its own adjoint solve.
    Solving for this as well would double every cost and mend nothing. So a second value goes along, `left`, (B,): how
    long that remainder may be, infinite on the way forward, where steps are 0. A right-hand side not longer than what
    is left is answered by 0, yet stays attached: of c = v + J^T u - u, which is 0, the derivative is not. The backward
    pass sends `left` the opposite way, in the place of its gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, b: Tensor, left: Tensor, system: Resolvent, transposed: bool, order: int | None
    ) -> tuple[Tensor, Tensor]:
        ctx.system, ctx.transposed, ctx.order = system, transposed, order
        if order is not None:
            ctx.save_for_backward(b)
        settled = lengths(b) <= left
        settled |= left.isinf()
        if settled.all():
            return torch.zeros_like(b), left.clone()
        wanted = torch.where(settled.view(-1, *[1] * (b.dim() - 1)), 0, b)
        v, residual = system.solve_with_residual(wanted, transposed)
        return v, left + 2 * residual + 100 * torch.finfo(b.dtype).eps * lengths(v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        v, left = _Newton.apply(*grads, ctx.system, not ctx.transposed, None)
        if not v.any():  # without a graph it need not go through f; with one it keeps its derivative
            return v if torch.is_grad_enabled() else None, left, None, None, None
        if ctx.order is not None and torch.is_grad_enabled():
            v = _Last.apply(v, ctx.order, *ctx.saved_tensors)
        return v, left, None, None, None


class _Last(torch.autograd.Function):
    """A gradient whose own derivative would lack terms; `anchor` ties it to all that f depends on."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, order: int, anchor: Tensor) -> Tensor:
        ctx.order = order
        return v.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            f"order: expected at least {ctx.order + 1}, the number of times z is differentiated; found {ctx.order}"
        )


def _check(derivative: str, order: int, adjoint: str | Solver, steps: int, tau: float) -> None:
    one_of("derivative", derivative, ("exact", "phantom", "unrolled"))
    if isinstance(adjoint, str) and adjoint not in ("dense", "gmres", "anderson", "picard"):  # names are slow to list
        one_of("adjoint", adjoint, ("dense", "gmres", *solvers()))
    if order < 1:
        raise ValueError(f"order: expected at least 1; found {order}")
    if steps < 1:
        raise ValueError(f"steps: expected at least 1; found {steps}")
    if not 0 < tau <= 1:
        raise ValueError(f"tau: expected a number in (0, 1]; found {tau}")
