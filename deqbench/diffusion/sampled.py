"""The rounds that a sampler yields, and the images that come of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.solvers import rounds
from deqbench.solvers.rounds import Result, Run
from deqbench.solvers.triangular import SystemRound


@dataclass(frozen=True, kw_only=True)
class Round(rounds.Round):
    """One round of a sampler, lent to who looks on: copy what you keep, change nothing.

    `calls` are batched network calls, with at most one sample an image and timestep in each; nfe network evaluations.
    """

    x0: Tensor  # (b, *dims) what each image that took part would be if it stopped here
    states: Callable[[], Tensor] | None = None  # -> (B, N, *dims), those after each step so far, where they are kept
    absolute: Tensor | None = None  # (b,) float64, ||f(z) - z||_2 over the whole chain, where the method has it
    relative: Tensor | None = None  # (b,) float64, ||f(z) - z||_2 / ||f(z)||_2


OnRound = Callable[[Round], object]  # True, or a Stop, ends the run


@dataclass(frozen=True, kw_only=True)
class Sampled(Result):
    """B images, and what they took."""

    x0: Tensor  # (B, *dims)
    states: Tensor | None = None  # (B, N, *dims) the states after each step; None where they were not kept
    rounds: Tensor  # (B,) int64, batched network calls
    nfe: Tensor  # (B,) int64, network evaluations


def sampled(chain: DDIMChain, made: Iterable[Round], on_round: OnRound | None = None) -> Sampled:
    """The images of a sampler's rounds, all of them or until on_round ends them."""
    run = Run(made, len(chain.x_T), on_round=on_round)
    x0 = chain.x_T
    for reached in run:
        if reached.states is None:
            whole = len(reached.x0) == len(x0)
            x0 = reached.x0 if whole else x0.index_copy(0, reached.samples.to(x0.device), reached.x0)
    states = run.last.states() if run.last and run.last.states else None
    x0 = x0 if states is None else states[:, -1]
    finite = (x0 if states is None else states).flatten(1).isfinite().all(1)
    return Sampled(x0=x0, states=states, rounds=run.rounds, nfe=run.nfe, stopped=run.stopped(finite))


@dataclass(frozen=True)
class OfChain:
    """A triangular system on a chain's states, with terms of its own."""

    chain: DDIMChain

    @property
    def start(self) -> Tensor:
        """x_T: (B, *dims)."""
        return self.chain.x_T

    @property
    def steps(self) -> int:
        """N."""
        return self.chain.steps


def of_system(
    swept: Iterable[SystemRound], calls: int = 1, back: Callable[[Tensor], Tensor] = lambda states: states
) -> Iterator[Round]:
    """The rounds of a sampler that sweeps a triangular system, `calls` network calls a sweep.

    back: from the system's states (..., *dims) to the chain's.
    """
    for r in swept:
        yield Round(
            samples=r.samples,
            settled=r.settled,
            nfe=calls * r.nfe,
            calls=calls,
            x0=back(r.reached),
            states=lambda r=r: back(r.states()),  # type: ignore[misc]
        )
