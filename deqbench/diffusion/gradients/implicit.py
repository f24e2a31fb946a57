"""The exact implicit gradient, or a truncated one, by the adjoint of the joint map at solved states.

With z = h~(z; x_T) and g = dL/dz, the adjoint solves v = g + J^T v, J = dh~/dz, and the gradient is (dh~/dx_T)^T v.
Source: DEQ-DDIM, eq. 15, and eq. 19 with the transposed Jacobian J_g^T = J^T - I where it prints the inverse.
"""

from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import LossAndGrad, loss, loss_gradient
from deqbench.diffusion.gradients.forward import carried, leaf_and_first, solved
from deqbench.diffusion.gradients.jacobian import Linearised
from deqbench.solvers import solve
from deqbench.solvers.linear import Affine, gmres


def gradient(
    chain: DDIMChain,
    target: Tensor,
    *,
    adjoint: Literal["back-substitution", "gmres", "broyden", "neumann"] = "back-substitution",
    adjoint_tol: NonNegative = 1e-6,
    adjoint_max_iter: Count = 100,
    forward: Literal["sequential", "joint", "secant"] = "sequential",
    solver: str = "anderson",
    tol: NonNegative = 1e-3,
    max_iter: Count = 15,
    start: Literal["x_T", "zeros", "first"] = "x_T",
    states: Tensor | None = None,
    **solver_options: Any,
) -> LossAndGrad:
    """The derivative of the loss by the implicit function theorem; exact where the states and the adjoint are.

    back-substitution: N products one after another, for the system is triangular; each evaluates its step again and
    keeps no other graph. The others act on all states jointly, N - 1 products of the network in a batch, and keep the
    graph of all states: gmres (image by image), broyden, and neumann, v <- g + J^T v, exact after N rounds. They stop
    at a relative residual of adjoint_tol or after adjoint_max_iter products with J^T, few of which make a truncated
    gradient; LossAndGrad.residual says how far it got.

    forward, solver, tol, max_iter, start, solver_options: see deqbench.diffusion.gradients.forward. ValueError: unknown
    adjoint, adjoint_tol < 0 or adjoint_max_iter < 1.
    """
    settings = {"solver": solver, "tol": tol, "max_iter": max_iter, "start": start, **solver_options}
    if adjoint == "back-substitution":
        end = solved(chain, forward, states, **settings)
        x0 = end.reached[:, -1]
        derivative = _substituted(chain, end.reached, loss_gradient(x0, target))
        count = torch.full((len(x0),), chain.steps)
        return LossAndGrad(loss(x0, target), derivative, x0, end.nfe + count, count, end.rounds, end.next_start)
    x_T, first = leaf_and_first(chain)
    end = solved(chain, forward, states, first=first.detach(), **settings)
    x0 = end.reached[:, -1]
    g = torch.zeros_like(end.reached)
    g[:, -1] = loss_gradient(x0, target)
    system = _Adjoint(chain, end.reached, g)
    if adjoint == "gmres":
        v = system.gmres(adjoint_tol, adjoint_max_iter)
    else:
        v = system.iterated({"neumann": "picard"}.get(adjoint, adjoint), adjoint_tol, adjoint_max_iter)
    (derivative,) = torch.autograd.grad(first, x_T, carried(chain, v))
    nfe, vjps = end.nfe + 1 + system.evaluations, 1 + system.products * (chain.steps - 1)
    return LossAndGrad(loss(x0, target), derivative, x0, nfe, vjps, end.rounds, end.next_start, system.residual)


def _substituted(chain: DDIMChain, states: Tensor, g: Tensor) -> Tensor:
    """(B, *dims): g = dL/dx_0 carried back to x_T step by step, each evaluated again at its own state."""
    for j in reversed(range(chain.steps)):
        before = states[:, j - 1] if j else chain.x_T
        with torch.enable_grad():
            leaf = before.detach().requires_grad_()
            after = chain.step(leaf, j)
        (g,) = torch.autograd.grad(after, leaf, g)
    return g


class _Adjoint:
    """v = g + J^T v at states z, all (B, N, *dims), with what solving it took of every image."""

    def __init__(self, chain: DDIMChain, z: Tensor, g: Tensor) -> None:
        self.chain, self.z, self.g = chain, z, g
        self.evaluations, self.products = torch.zeros(2, len(z), dtype=torch.int64)
        self.residual = torch.full((len(z),), float("nan"), dtype=torch.float64)

    def iterated(self, solver: str, tol: float, max_iter: int) -> Tensor:
        """v by a solver of fixed points, images together."""
        everyone = Affine(_Transposed(self, torch.arange(len(self.z))), self.g)
        solution = solve(everyone, self.g, solver=solver, tol=tol, max_iter=max_iter)
        self.residual = torch.stack([trace[-1] for trace in solution.relative])
        return solution.z

    def gmres(self, tol: float, max_iter: int) -> Tensor:
        """v by GMRES, image by image: an image's network evaluations, and so its Krylov space, depend on the batch."""
        v = torch.full_like(self.g, float("nan"))
        for i in torch.arange(len(self.z)).split(1):
            if self.z[i].isfinite().all():
                v[i], _, self.residual[i] = gmres(_Transposed(self, i), self.g[i], tol, max_iter)
        return v


class _Transposed:
    """v -> J^T v of some images; as images leave a solve, the rest evaluate their states again."""

    def __init__(self, system: _Adjoint, images: Tensor) -> None:
        self.system, self.images = system, images.cpu()  # counts are kept there

    def select(self, indices: Tensor) -> "_Transposed":
        """The product for some images of the original batch."""
        return _Transposed(self.system, indices)

    @cached_property
    def map(self) -> Linearised:
        """The joint map there, evaluated when the first product asks for it."""
        made = Linearised(self.system.chain.select(self.images), self.system.z[self.images])
        self.system.evaluations[self.images] += made.evaluations
        return made

    def __call__(self, v: Tensor) -> Tensor:
        self.system.products[self.images] += 1
        return self.map.transposed(v)
