"""What a sampler returns, and what it tells after each round."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from deqbench.solvers.triangular import Swept


@dataclass(frozen=True)
class Sampled:
    """B images, and what they took."""

    x0: Tensor  # (B, *dims)
    states: Tensor | None  # (B, N, *dims) the states after each step; None where they were not kept
    rounds: Tensor  # (B,) int64, batched network calls, at most one sample per image and timestep in each
    nfe: Tensor  # (B,) int64, network evaluations
    stopped: tuple[str, ...]  # B words: converged, max_iter, diverged


@dataclass(frozen=True)
class Round:
    """What one round reached, lent to `on_round`: copy what you keep, change nothing."""

    number: int  # rounds so far, from 1
    samples: Tensor  # (b,) int64, the images that took part
    x0: Tensor  # (b, *dims) what each would return if it stopped here
    nfe: Tensor  # (b,) int64, network evaluations of this round
    absolute: Tensor | None = None  # (b,) float64, ||f(z) - z||_2 over the whole chain, where the method has it
    relative: Tensor | None = None  # (b,) float64, ||f(z) - z||_2 / ||f(z)||_2


OnRound = Callable[[Round], None]


def telling(on_round: OnRound | None, calls: int = 1) -> Callable[[int, Tensor, Tensor, Tensor], None] | None:
    """What sweeps of a triangular system call after each of theirs, which took `calls` network calls; None for None."""
    if on_round is None:
        return None

    def tell(number: int, samples: Tensor, states: Tensor, evaluations: Tensor) -> None:
        on_round(Round(calls * number, samples, states[samples, -1], calls * evaluations))

    return tell


def sampled(found: Swept, calls: int = 1) -> Sampled:
    """What sweeps of `calls` network calls each have found, as a sampler returns it."""
    ends = zip(found.finite, found.converged, strict=True)
    stopped = tuple("diverged" if not ok else "converged" if done else "max_iter" for ok, done in ends)
    return Sampled(found.states[:, -1], found.states, calls * found.rounds, calls * found.evaluations, stopped)
