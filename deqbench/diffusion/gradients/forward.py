"""The states of a chain without a graph: what gradients that are taken at a solved chain start from."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.samplers import sample
from deqbench.solvers import solve

Forward = Literal["sequential", "joint", "secant"]
Start = Literal["x_T", "zeros", "first"]


@dataclass(frozen=True)
class Solved:
    """A solved chain of B images; M is N, or 1 where only the last state was asked for."""

    reached: Tensor  # (B, M, *dims), states after each step, as the solve returns them
    iterate: Tensor | None  # (B, M, *dims), where a joint solve evaluated them; None: they are the chain's own states
    nfe: Tensor  # (B,) int64
    rounds: Tensor | None  # (B,) int64, of a parallel solve
    next_start: Tensor | None  # (B, N, *dims), where the next solve may start

    def damped(self, tau: float) -> Tensor:
        """(B, M, *dims): one damped step tau h(z) + (1 - tau) z from the iterate, whose h(z) the solve has paid for."""
        return self.reached if self.iterate is None else torch.lerp(self.iterate, self.reached, tau)


@torch.no_grad()
def solved(
    chain: DDIMChain,
    forward: Forward,
    states: Tensor | None,
    *,
    solver: str,
    tol: float,
    max_iter: int,
    start: Start,
    first: Tensor | None = None,
    whole: bool = True,
    **solver_options: Any,
) -> Solved:
    """The chain walked step by step, solved as one fixed point by any solver, or swept by secants.

    states: (B, N, *dims), where a joint solve starts; without any at copies of x_T or zeros. start "first" is x_T and
    gives the start back as `next_start`, so that a descent that hands on its states begins every solve at the first
    x_T, as the released code does. first: (B, *dims), the state after the first step where it is known: a walk goes on
    from it, and nfe leaves it out. whole: keep all states of a walk. max_iter is the joint solve's; tol the secant
    sweeps' too.
    """
    if forward == "sequential":
        if solver_options:
            raise TypeError(f"forward sequential takes no option {', '.join(solver_options)}")
        return _walked(chain, first, whole)
    if forward == "secant":
        sampled = sample("secant", chain, {"tol": tol, **solver_options})
        if sampled.states is None:
            raise AssertionError("secant sweeps keep their states")
        return Solved(sampled.states, None, sampled.nfe, sampled.rounds, sampled.states)
    begin = chain.initial("zeros" if start == "zeros" else "x_T") if states is None else states
    fixed = solve(chain, begin, solver=solver, tol=tol, max_iter=max_iter, **solver_options)
    next_start = begin if start == "first" else fixed.z
    return Solved(fixed.z, fixed.state, fixed.rounds.cpu() * chain.steps, fixed.rounds.cpu(), next_start)


def _walked(chain: DDIMChain, first: Tensor | None, whole: bool) -> Solved:
    x, begin = (chain.x_T, 0) if first is None else (first, 1)
    kept = [] if first is None or not whole else [first]
    for j in range(begin, chain.steps):
        x = chain.step(x, j)
        if whole:
            kept.append(x)
    reached = torch.stack(kept, 1) if whole else x[:, None]
    nfe = torch.full((len(x),), chain.steps - begin)
    return Solved(reached, None, nfe, None, reached if whole else None)


def leaf_and_first(chain: DDIMChain) -> tuple[Tensor, Tensor]:
    """x_T as a leaf and the state after the first step with its graph, both (B, *dims): all that x_T enters.

    The joint map takes x_T nowhere else: its i-th state is the first one carried on, plus terms of the other states.
    """
    with torch.enable_grad():
        x_T = chain.x_T.detach().requires_grad_()
        return x_T, replace(chain, x_T=x_T).step(x_T, 0)


def carried(chain: DDIMChain, weights: Tensor) -> Tensor:
    """(B, *dims): sum_i (ratio_1 ... ratio_i) weights_i, for weights (B, M, *dims) of the last M states."""
    factors = (chain.ratio.cumprod(0) / chain.ratio[0])[-weights.shape[1] :].to(weights)
    return torch.einsum("m,bm...->b...", factors, weights)
