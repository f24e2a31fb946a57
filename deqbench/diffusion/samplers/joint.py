"""DEQ-DDIM: all states of the chain as one fixed point, solved jointly. Source: DEQ-DDIM, section 3.1, algorithm 1."""

from collections.abc import Iterator
from typing import Any, Literal

from deqbench.bounds import Count, NonNegative, Seed
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.splits import SplitChain, gaussian_start, split_chain
from deqbench.solvers import iterate


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
    **solver_options: Any,
) -> Iterator[Round]:
    """The chain's fixed point to a relative residual of `tol`, or what `max_iter` evaluations reach.

    start: all states at x_T, at 0, or on the path of Gaussian data. split: the linear part of each step that the map
    treats exactly, see deqbench.diffusion.splits; seed is that of `step`'s random signs, whose two evaluations of each
    step are counted with the first round.
    returned: the latest evaluation, which is paid for and nearer, or the state it was evaluated at (released code).
    solver_options go to the solver (m, beta, ridge, mixing for Anderson).
    """
    system = split_chain(chain, split, seed)
    before = system.nfe if isinstance(system, SplitChain) else 0  # evaluations
    begin = gaussian_start(chain) if start == "gaussian" else chain.initial(start)
    at = 0 if returned == "evaluation" else 1
    evaluated, calls = chain.steps + before, 1 + before // chain.steps  # in the first round
    for r in iterate(system, begin, solver=solver, tol=tol, max_iter=max_iter, stop=stop, **solver_options):
        yield Round(
            **{name: getattr(r, name) for name in ("samples", "settled", "lost", "absolute", "relative")},
            nfe=evaluated,
            calls=calls,
            x0=(r.active.fz, r.active.state)[at][:, -1].clone(),
            states=lambda now=r.active: now.leave()[at],  # type: ignore[misc]
        )
        evaluated, calls = chain.steps, 1
