"""DEQ-DDIM: all states of the chain as one fixed point, solved jointly. Source: DEQ-DDIM, section 3.1, algorithm 1."""

from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled
from deqbench.solvers import solve


def sample(
    chain: DDIMChain,
    *,
    solver: str = "anderson",
    tol: float = 1e-3,
    max_iter: int = 15,
    start: Literal["x_T", "zeros"] = "x_T",
    stop: Literal["sample", "batch"] = "sample",
    returned: Literal["evaluation", "state"] = "evaluation",
    on_round: OnRound | None = None,
    **solver_options: Any,
) -> Sampled:
    """The chain's fixed point to a relative residual of `tol`, or what `max_iter` evaluations reach.

    returned: the latest evaluation, which is paid for and nearer, or the state it was evaluated at (released code).
    solver_options go to the solver (m, beta, ridge, mixing for Anderson).
    """
    for name, value, known in (("start", start, ("x_T", "zeros")), ("returned", returned, ("evaluation", "state"))):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}; found '{value}'")

    def tell(*, k: int, state: Tensor, fz: Tensor, indices: Tensor, absolute: Tensor, relative: Tensor) -> None:
        if on_round:
            reached = fz if returned == "evaluation" else state
            nfe = torch.full((len(indices),), chain.steps)
            on_round(Round(k, indices, reached[:, -1], nfe, absolute, relative))

    found = solve(
        chain,
        chain.initial(start),
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        stop=stop,
        on_round=tell,
        **solver_options,
    )
    states = found.z if returned == "evaluation" else found.state
    return Sampled(states[:, -1], states, found.rounds, found.rounds * chain.steps, found.stopped)
