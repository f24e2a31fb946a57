"""Jets of fixed points: of z = f(z, x) with jets x, exactly by the implicit function theorem, or through some steps.

At the fixed point, with J = df/dz, the tangents and the second derivatives solve linear systems of one matrix,

    (I - J) dz_p = f_x dx_p,    (I - J) lap z = what f's second derivatives and lap x make of dz and dx,             (1)

so nothing of any solve is kept: the gradients of the parameters solve the transposed system for each of them. For a
block z = softplus(W z + g), with a = W z + g, D = softplus'(a) and u_p = W dz_p + dg_p,

    (I - D W) dz_p = D dg_p,    (I - D W) lap z = D lap g + softplus''(a) sum_p u_p^2.                              (2)

Source: DEQ score matching, eq. 8 and 9.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deqbench.solvers.blocks import Block, Dense, Factorised, Inverse, Iterated, softplus
from deqbench.solvers.jet import combined
from deqbench.solvers.jets import Basis, Jet, aligned
from deqbench.solvers.resolvent import Resolvent


def block_jet(block: Block, z: Tensor, g: Jet, inverse: Callable[[Tensor], Inverse]) -> tuple[Jet, Inverse]:
    """The jet of the fixed point of a block near its solution z, and the inverse that it was found with.

    With tangents z gets one Newton step, so its error is squared. inverse: of the slopes D (*groups, B, ...).
    """
    basis = g.basis
    system: list[Inverse] = []

    def make(slope: Tensor) -> Inverse:
        system.append(inverse(slope))
        return system[0]

    metric = None if basis is None else basis.metric
    parts = (z, g.value, g.whole(), g.laplacian, block.weight, metric)
    value, tangents, laplacian = _BlockJet.apply(type(block), make, *parts)
    return Jet(value, tangents, laplacian, basis), system[0]


def inverses(
    block: Block, adjoint: str | Any, tol: float, max_iter: int, *, series: bool
) -> Callable[[Tensor], Inverse]:
    """The maker of a block's inverse: a factorisation where the block is dense, else by a solver.

    series: the block contracts, and one right-hand side is not worth a factorisation.
    """
    if series:
        return lambda slope: Iterated(block, slope, "picard", tol, max_iter)
    if isinstance(block, Dense):
        return lambda slope: Factorised(block, slope)
    solver = "anderson" if adjoint in ("dense", "gmres") else adjoint
    return lambda slope: Iterated(block, slope, solver, tol, max_iter)


class _BlockJet(torch.autograd.Function):
    """z, dz and lap z of (2); derivatives of the first order only."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: type[Block],
        make: Callable[[Tensor], Inverse],
        z: Tensor,
        g: Tensor,
        dg: Tensor | None,
        lap_g: Tensor | None,
        weight: Tensor,
        metric: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        block = kind(weight)
        a = block.times(z) + g
        ctx.inverse = inverse = make(a.sigmoid())
        if dg is not None:
            z = z + inverse.times((softplus(a) - z)[None])[0]
        dz = lap = None
        if dg is not None:
            a = block.times(z) + g
            slope = a.sigmoid()
            dz = inverse.times(slope * dg)
            if lap_g is not None:
                bend, u = slope * (1 - slope), block.times(dz) + dg
                lap = inverse.times((slope * lap_g + bend * (_weighed(u, metric) * u).sum(0))[None])[0]
        ctx.kind = kind
        ctx.save_for_backward(z, g, dg, lap_g, weight, metric, dz, lap)
        return z, dz, lap

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *bars: Tensor | None) -> tuple[Any, ...]:
        z_bar: Any
        z_bar, dz_bar, lap_bar = bars
        z, g, dg, lap_g, weight, metric, dz, lap = ctx.saved_tensors
        block, inverse = ctx.kind(weight), ctx.inverse
        a = block.times(z) + g
        slope = a.sigmoid()
        bend = slope * (1 - slope)
        left, right = [], []  # pairs whose outer products make the gradient of W
        a_bar, dg_bar, lap_g_bar, metric_bar = None, None, None, None
        if dz is not None:
            u = block.times(dz) + dg
            if dz_bar is None:
                dz_bar = torch.zeros_like(dz)
            u_bar = None
            if lap is not None and lap_bar is not None:
                of_lap = inverse.transposed(lap_bar[None])[0]
                third = bend * (1 - 2 * slope)
                heavy = _weighed(u, metric)
                a_bar = of_lap * (bend * (block.times(lap) + lap_g) + third * (heavy * u).sum(0))
                lap_g_bar = of_lap * slope
                left, right = [lap_g_bar[None]], [lap[None]]
                u_bar = 2 * (bend * of_lap) * heavy
                dz_bar = dz_bar + block.transposed(u_bar)
                if metric is not None and ctx.needs_input_grad[7]:
                    metric_bar = _pairs(bend * of_lap * u, u, metric)
            of_dz = inverse.transposed(dz_bar)
            along = bend * (of_dz * u).sum(0)
            a_bar = along if a_bar is None else a_bar + along
            dg_bar = slope * of_dz if u_bar is None else torch.addcmul(u_bar, slope.expand_as(of_dz), of_dz)
            left.append(dg_bar)
            right.append(dz)
            z_bar = z_bar + block.transposed(a_bar)
        g_bar = slope * inverse.transposed(z_bar[None])[0]
        g_bar = g_bar if a_bar is None else g_bar + a_bar
        left.append(g_bar[None])
        right.append(z[None])
        weight_bar = block.outer(torch.cat(left), torch.cat(right)) if ctx.needs_input_grad[6] else None
        return None, None, None, g_bar, dg_bar, lap_g_bar, weight_bar, metric_bar


def _weighed(u: Tensor, metric: Tensor | None) -> Tensor:
    """The tangents (P, *groups, ...) times the metric (*groups, P, P)."""
    return u if metric is None else combined(metric, u)


def _pairs(left: Tensor, right: Tensor, metric: Tensor) -> Tensor:
    """The gradient with respect to the metric of sum_pq metric_pq left_p right_q, (*groups, P, P)."""
    if metric.ndim == 2:
        return left.flatten(1) @ right.flatten(1).T
    return left.movedim(1, 0).flatten(2) @ right.movedim(1, 0).flatten(2).mT


def any_jet(f: Callable[..., Any], z: Tensor, inputs: Sequence[Any], system: Resolvent) -> Jet:
    """The jet of the fixed point of any f made of functions that jets know, near its solution z.

    z: with the graph of its own gradient. Systems are solved a direction at a time.
    """
    inputs = _same_basis(inputs)
    basis = next((one.basis for one in inputs if isinstance(one, Jet) and one.tangents is not None), None)
    second = any(isinstance(one, Jet) and one.laplacian is not None for one in inputs)
    at, dead = z.detach(), [_without_graph(one) for one in inputs]
    with torch.no_grad():
        free = f(Jet(at), *dead)
        if free.tangents is None:
            return Jet(z)
        found = torch.stack([system.solve(t, transposed=False) for t in free.whole()])
    zero = torch.zeros_like(at) if second else None
    dz = _Solved.apply(f(Jet(z, found, zero, basis), *inputs).whole(), found, system)
    if not second:
        return Jet(z, dz, None, basis)
    with torch.no_grad():
        lap = system.solve(f(Jet(at, found, zero, basis), *dead).laplacian, transposed=False)
    moved = f(Jet(z, dz, lap, basis), *inputs).laplacian
    return Jet(z, dz, _Solved.apply(moved[None], lap[None], system)[0], basis)


def _same_basis(inputs: Sequence[Any]) -> list[Any]:
    made = list(inputs)
    for k in range(len(made)):
        for j in range(k):
            made[j], made[k] = aligned(made[j], made[k])
    return made


def _without_graph(one: Any) -> Any:
    if not isinstance(one, Jet):
        return one.detach()
    parts = [None if part is None else part.detach() for part in (one.value, one.tangents, one.laplacian)]
    basis = one.basis and Basis(one.basis.back.detach(), one.basis.metric.detach())
    return Jet(parts[0], parts[1], parts[2], basis)  # type: ignore[arg-type]


class _Solved(torch.autograd.Function):
    """Solutions v (P, B, ...) of v = F + J (v - v'), known already; F's gradient is (I - J)^{-T} times that of v."""

    @staticmethod
    def forward(ctx: Any, moved: Tensor, found: Tensor, system: Resolvent) -> Tensor:
        ctx.system = system
        return found.view_as(found)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_bar: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return torch.stack([ctx.system.solve(one) for one in v_bar]), None, None
