"""DEQ-DDIM: all states of the chain as one fixed point, solved jointly. Source: DEQ-DDIM, section 3.1, algorithm 1."""

from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Seed
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled
from deqbench.diffusion.splits import SplitChain, gaussian_start, split_chain
from deqbench.solvers import solve


def sample(
    chain: DDIMChain,
    *,
    solver: str = "anderson",
    tol: NonNegative = 1e-3,
    max_iter: Count = 15,
    start: Literal["x_T", "zeros", "gaussian"] = "x_T",
    split: Literal["eps", "drift", "variance", "pixel", "frequency", "step"] = "eps",
    seed: Seed = 0,
    stop: Literal["sample", "batch"] = "sample",
    returned: Literal["evaluation", "state"] = "evaluation",
    on_round: OnRound | None = None,
    **solver_options: Any,
) -> Sampled:
    """The chain's fixed point to a relative residual of `tol`, or what `max_iter` evaluations reach.

    start: all states at x_T, at 0, or on the path of Gaussian data. split: the linear part of each step that the map
    treats exactly, see deqbench.diffusion.splits; seed is that of `step`'s random signs, whose two evaluations of each
    step are counted with the first round.
    returned: the latest evaluation, which is paid for and nearer, or the state it was evaluated at (released code).
    solver_options go to the solver (m, beta, ridge, mixing for Anderson).
    """
    choices = ("start", start, ("x_T", "zeros", "gaussian")), ("returned", returned, ("evaluation", "state"))
    for name, value, known in choices:
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}; found '{value}'")
    system = split_chain(chain, split, seed)
    before = system.nfe if isinstance(system, SplitChain) else 0  # evaluations
    first = before // chain.steps  # rounds

    def tell(*, k: int, state: Tensor, fz: Tensor, indices: Tensor, absolute: Tensor, relative: Tensor) -> None:
        if on_round:
            reached = fz if returned == "evaluation" else state
            nfe = torch.full((len(indices),), chain.steps + before * (k == 1))
            on_round(Round(first + k, indices, reached[:, -1], nfe, absolute, relative))

    found = solve(
        system,
        gaussian_start(chain) if start == "gaussian" else chain.initial(start),
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        stop=stop,
        on_round=tell,
        **solver_options,
    )
    states = found.z if returned == "evaluation" else found.state
    rounds = first + found.rounds
    return Sampled(states[:, -1], states, rounds, rounds * chain.steps, found.stopped)
