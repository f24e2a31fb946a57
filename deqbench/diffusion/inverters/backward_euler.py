"""Step by step inversion: each step's start is the fixed point that the step leads to its end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import Update, finite
from deqbench.solvers import solve


@dataclass(frozen=True)
class Before:
    """x -> the state (B, *dims) before step j from the one after it, with the eps of x."""

    chain: DDIMChain
    after: Tensor  # (B, *dims)
    j: int

    def select(self, indices: Tensor) -> "Before":
        """The map of those samples."""
        return Before(self.chain.select(indices), self.after[indices], self.j)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *dims) -> (B, *dims)."""
        return self.chain.unstep(self.after, self.chain.eps(x, self.j), self.j)


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    solver: str = "anderson",
    tol: NonNegative = 1e-4,
    max_iter: Count = 20,
    **solver_options: Any,
) -> Iterator[Update]:
    """The x_T of N solves x = (x' - scale eps(x)) / ratio, from the last step to the first; chain.x_T plays no part.

    tol and max_iter hold for each step's solve, which starts at the state after it; solver_options go to the solver.
    `converged` are images all of whose solves met tol. With one evaluation a step this is DDIM encoding. Source: Pan
    et al., "Effective real image editing with accelerated iterative diffusion inversion" (2023), section 4.
    """
    yield Update(x_T=chain.x_T.to(target))
    x, rounds = target, torch.zeros(len(target), dtype=torch.int64)
    met = torch.ones(len(target), dtype=torch.bool)
    for j in reversed(range(chain.steps)):
        before = solve(Before(chain, x, j), x, solver=solver, tol=tol, max_iter=max_iter, **solver_options)
        x, rounds, met = before.z, rounds + before.rounds.cpu(), met & before.converged.cpu()
    yield Update(x_T=x, calls=rounds, nfe=rounds, settled=met, lost=~finite(x))
