"""DEQ-DDIM: all states of the chain as one fixed point, solved jointly. Source: DEQ-DDIM, section 3.1, algorithm 1."""

from collections.abc import Callable
from typing import Any, Literal

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Sampled
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
    on_round: Callable[..., None] | None = None,
    **solver_options: Any,
) -> Sampled:
    """The chain's fixed point to a relative residual of `tol`, or what `max_iter` evaluations reach.

    returned: the latest evaluation, which is paid for and nearer, or the state it was evaluated at (released code).
    solver_options go to the solver (m, beta, ridge, mixing for Anderson).
    """
    for name, value, known in (("start", start, ("x_T", "zeros")), ("returned", returned, ("evaluation", "state"))):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}; found '{value}'")
    found = solve(
        chain,
        chain.initial(start),
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        stop=stop,
        on_round=on_round,
        **solver_options,
    )
    states = found.z if returned == "evaluation" else found.state
    return Sampled(states[:, -1], states, found.rounds, found.rounds * chain.steps, found.stopped)
