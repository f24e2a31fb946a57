"""The joint system solved by the torchdeq library: its own Anderson and plain iteration, on the same map as `joint`.

Source: Geng and Kolter, "TorchDEQ" (2023), version 0.1.0.
"""

from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from deqbench.bounds import MOST, Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round

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
) -> Iterator[Round]:
    """The evaluation of least residual that the library finds; the defaults are its own.

    Images are solved one by one, for its stop test is the worst residual of a batch. Each is one row of its batch, so
    that weights are shared by the chain. m, ridge (its `lam`, absolute): Anderson's. tol bounds ||f(z) - z|| for
    stop_mode "abs", divided by ||f(z)|| for "rel". max_iter: evaluations at most. ValueError: too few for Anderson.
    """
    least = UNMIXED + 1 if solver == "anderson" else 1  # with fewer the library returns the start
    if max_iter < least:
        raise ValueError(f"max_iter: expected at least {least}; found {max_iter}")
    settings = {"m": m, "lam": ridge, "tol": tol, "stop_mode": stop_mode, "max_iter": max_iter}
    runs = [_Run(chain.select(torch.tensor([i])), settings, least) for i in range(len(chain.x_T))]
    for i, run in enumerate(runs):
        for absolute, relative in stepwise(partial(run.solve, SOLVERS[solver])):
            yield Round(
                samples=torch.tensor([i]),
                settled=run.lowest < tol,
                nfe=chain.steps,
                x0=run.best[:, -1],
                states=lambda: torch.cat([one.best for one in runs]),
                absolute=absolute.double().cpu(),
                relative=relative.double().cpu(),
            )


class _Run:
    """One image: the map that the library calls, which hands on after each call what would be returned then."""

    def __init__(self, chain: DDIMChain, settings: dict[str, Any], least: int) -> None:
        self.chain, self.settings, self.least = chain, settings, least
        self.rounds = 0
        self.lowest = 1e8  # as the library starts
        self.best = chain.initial()
        self.hand_on: Callable[[tuple[Tensor, Tensor]], None] = print

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
        self.hand_on((absolute, relative))
        return fz

    def solve(self, solver: str, hand_on: Callable[[tuple[Tensor, Tensor]], None]) -> None:
        """The library's whole run."""
        from torchdeq.solver import get_solver

        self.hand_on = hand_on
        get_solver(solver)(self, self.chain.initial(), **self.settings)


def stepwise(work: Callable[[Callable[[Any], None]], None]) -> Iterator[Any]:
    """Whatever `work` hands to the function it is given, one by one: a loop of another library turned inside out.

    It runs in a thread of its own that stands still while the caller has the turn; closed, it ends by GeneratorExit.
    """
    made: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    turns: SimpleQueue[bool] = SimpleQueue()
    modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()  # a thread has its own

    def hand_on(thing: Any) -> None:
        made.put((thing, None))
        if not turns.get():
            raise GeneratorExit

    def body() -> None:
        try:
            with torch.inference_mode(modes[0]), torch.set_grad_enabled(modes[1]):
                work(hand_on)
            raise StopIteration
        except BaseException as error:
            made.put((None, error))

    thread = Thread(target=body)
    thread.start()
    try:
        while True:
            thing, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield thing
            turns.put(True)
    finally:
        turns.put(False)
        thread.join()
