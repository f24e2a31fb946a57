"""The joint system solved by the torchdeq library: its own Anderson and plain iteration, on the same map as `joint`.

Source: Geng and Kolter, "TorchDEQ" (2023), version 0.1.0.
"""

from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from deqbench.bounds import MOST, Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled

NEEDS = {"torchdeq": "its solvers are that library's own"}
SOLVERS = {"anderson": "anderson", "fixed-point": "fixed_point_iter"}  # the library's names
UNMIXED = 2  # evaluations with which its Anderson begins; neither is ever returned


def sample(
    chain: DDIMChain,
    *,
    solver: Literal["anderson", "fixed-point"] = "anderson",
    m: Annotated[int, Interval(ge=2, le=MOST)] = 6,
    ridge: NonNegative = 1e-4,
    tol: NonNegative = 1e-3,
    stop_mode: Literal["abs", "rel"] = "abs",
    max_iter: Count = 50,
    on_round: OnRound | None = None,
) -> Sampled:
    """The evaluation of least residual that the library finds; the defaults are its own.

    Images are solved one by one, for its stop test is the worst residual of a batch. Each is one row of its batch, so
    that weights are shared by the chain. m, ridge (its `lam`, absolute): Anderson's. tol bounds ||f(z) - z|| for
    stop_mode "abs", divided by ||f(z)|| for "rel". max_iter: evaluations at most. ValueError: a setting out of range.
    """
    least = UNMIXED + 1 if solver == "anderson" else 1  # with fewer the library returns the start
    for name, value, known in (("solver", solver, SOLVERS), ("stop_mode", stop_mode, ("abs", "rel"))):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}; found '{value}'")
    for name, number, low in (("m", m, 2), ("max_iter", max_iter, least)):
        if number < low:
            raise ValueError(f"{name}: expected at least {low}; found {number}")
    settings = {"m": m, "lam": ridge, "tol": tol, "stop_mode": stop_mode, "max_iter": max_iter}
    runs = [_Run(chain, i, settings, least, on_round) for i in range(len(chain.x_T))]
    z = torch.cat([run.solve(SOLVERS[solver]) for run in runs])
    rounds = torch.tensor([run.rounds for run in runs])
    stopped = tuple(run.stopped(states) for run, states in zip(runs, z, strict=True))
    return Sampled(z[:, -1], z, rounds, rounds * chain.steps, stopped)


class _Run:
    """One image: the map that the library calls, which tells each round what the library would return after it."""

    def __init__(
        self, chain: DDIMChain, index: int, settings: dict[str, Any], least: int, on_round: OnRound | None
    ) -> None:
        self.samples = torch.tensor([index])
        self.chain, self.settings, self.least, self.on_round = chain.select(self.samples), settings, least, on_round
        self.rounds = 0
        self.lowest = 1e8  # as the library starts
        self.best = self.chain.initial()

    def __call__(self, z: Tensor) -> Tensor:
        fz = self.chain(z)
        self.rounds += 1
        absolute = (fz - z).flatten(1).norm(dim=1)
        relative = absolute / (fz.flatten(1).norm(dim=1) + 1e-9)
        residual = float(absolute if self.settings["stop_mode"] == "abs" else relative)
        if self.rounds >= self.least:
            better = residual < self.lowest
            # The library blends with 0 and 1, so that a state that is not finite spoils the best one for good.
            self.best = fz * float(better) + self.best * float(not better)
            self.lowest = residual if better else self.lowest
        if self.on_round:
            nfe = torch.tensor([self.chain.steps])
            traced = absolute.double().cpu(), relative.double().cpu()
            self.on_round(Round(self.rounds, self.samples, self.best[:, -1], nfe, *traced))
        return fz

    def solve(self, solver: str) -> Tensor:
        """(1, N, *dims): what the library returns."""
        from torchdeq.solver import get_solver

        z, _, _ = get_solver(solver)(self, self.chain.initial(), **self.settings)
        return z

    def stopped(self, z: Tensor) -> str:
        """Why it stopped."""
        if not z.isfinite().all():
            return "diverged"
        return "converged" if self.lowest < self.settings["tol"] else "max_iter"
