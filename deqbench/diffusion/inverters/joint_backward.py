"""The whole chain solved backwards from x_0 as one fixed point, by any of the package's solvers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import Update
from deqbench.solvers import iterate
from deqbench.solvers.solve import one_of

First = Literal["target", "noised", "encoding", "trajectory"]


@dataclass(frozen=True)
class Backwards:
    """z -> all states (B, N, *dims) before the steps, computed back from target with the eps of z."""

    chain: DDIMChain
    target: Tensor  # (B, *dims)
    at_once: int | None  # states in one call of the network

    def select(self, indices: Tensor) -> "Backwards":
        """The map of those samples."""
        return Backwards(self.chain.select(indices), self.target[indices], self.at_once)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, N, *dims) -> (B, N, *dims)."""
        indices = torch.arange(self.chain.steps).repeat(len(z))
        eps = terms(self.chain, z.flatten(0, 1), indices, self.at_once).unflatten(0, z.shape[:2])
        x, states = self.target, torch.empty_like(z)
        for j in reversed(range(self.chain.steps)):
            x = states[:, j] = self.chain.unstep(x, eps[:, j], j)
        return states


def terms(chain: DDIMChain, states: Tensor, indices: Tensor, at_once: int | None) -> Tensor:
    """eps (M, *dims) of states (M, *dims) before the steps `indices`, in about equal calls of at_once or fewer."""
    calls = -(-len(states) // (at_once or max(1, len(states))))
    if calls <= 1:
        return chain.step_terms(states, indices)
    parts = zip(states.tensor_split(calls), indices.tensor_split(calls), strict=True)
    return torch.cat([chain.step_terms(*part) for part in parts])


def first_states(chain: DDIMChain, target: Tensor, first: First, window: int | None = None) -> tuple[Tensor, int]:
    """A guess of the states (B, W, *dims) before the last steps, all or `window`, and the evaluations an image it took.

    target: copies of it; noised: target and chain.x_T mixed as the forward process mixes image and noise; encoding:
    those that DDIM encoding passes; trajectory: those of the chain from its x_T. ValueError: there is no such guess, or
    a trajectory is asked for in part.
    """
    steps = min(window or chain.steps, chain.steps)
    one_of("first", first, ("target", "noised", "encoding", *(("trajectory",) if steps == chain.steps else ())))
    if first == "target":
        return target[:, None].expand(-1, steps, *target.shape[1:]).clone(), 0
    if first == "noised":
        kept = chain.alpha_bar[-1 - steps : -1].view(-1, *[1] * (target.dim() - 1))
        noise = chain.x_T.to(target)[:, None]
        return kept.sqrt().to(target) * target[:, None] + (1 - kept).sqrt().to(target) * noise, 0
    if first == "trajectory":
        x = chain.x_T.to(target)
        states = [x, *(replace(chain, x_T=x).walk())]
        return torch.stack(states[:-1], 1), chain.steps
    return torch.stack([*chain.encode(target, steps)][::-1], 1), steps


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    solver: str = "anderson",
    tol: NonNegative = 1e-3,
    max_iter: Count = 30,
    first: Literal["target", "noised", "encoding", "trajectory"] = "target",
    at_once: Count | None = 32,
    **solver_options: Any,
) -> Iterator[Update]:
    """The x_T of the fixed point of all N states, to a relative residual of tol or what max_iter rounds reach.

    first: the states that it starts from, see first_states; only `trajectory` makes use of chain.x_T. solver_options go
    to the solver. A round is N evaluations an image, at_once states in a call of the network, None for all of them.
    """
    x_T = chain.x_T.to(target).clone()
    yield Update(x_T=x_T)
    z, before = first_states(chain, target, first)
    if first == "encoding":  # a result already, told before the first round
        x_T = z[:, 0].clone()
        yield Update(x_T=x_T, calls=0)
    made = Backwards(chain, target, at_once)
    for r in iterate(made, z, solver=solver, tol=tol, max_iter=max_iter, **solver_options):
        x_T[r.samples] = r.active.fz[:, 0]
        yield Update(samples=r.samples, settled=r.settled, lost=r.lost, x_T=x_T, nfe=chain.steps + before)
        before = 0
