"""The one loop of rounds: what a method yields, how long it may go on, what it took and why it ended.

A method is a generator of rounds. It leaves out of the next round whatever samples it has called settled or lost, and
returns when none are left or nothing more can change; numbers, limits and callbacks are the driver's, written here.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor


class Stop(StrEnum):
    """Why a run of one sample ended: a word, as results hold it, and a sentence."""

    sentence: str

    CONVERGED = "converged", "It met its tolerance."
    MAX_ITER = "max_iter", "It had all the rounds that it was allowed."
    MAX_SECONDS = "max_seconds", "Its time was over."
    PLATEAU = "plateau", "Its error no longer fell by as much as was asked for."
    DIVERGED = "diverged", "It reached numbers that are not finite."
    INTERRUPTED = "interrupted", "The caller ended it."

    def __new__(cls, word: str, sentence: str) -> "Stop":
        member = str.__new__(cls, word)
        member._value_, member.sentence = word, sentence
        return member


@dataclass(frozen=True, kw_only=True)
class Result:
    """The end of every run of B samples."""

    stopped: tuple[Stop, ...]  # B reasons

    @property
    def converged(self) -> Tensor:
        """(B,) bool, which samples met the tolerance."""
        return torch.tensor([reason == Stop.CONVERGED for reason in self.stopped], dtype=torch.bool)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of a method over some of B samples, lent to who looks on: copy what you keep, change nothing."""

    samples: Any = None  # (b,) int64, rising, those that took part; None: all
    settled: Tensor | np.ndarray | bool = False  # (b,) bool, those that have met the method's own test
    lost: Tensor | np.ndarray | bool = False  # (b,) bool, those that are no longer finite, by a test of its own
    nfe: Any = 1  # (b,) int64, evaluations of this round
    calls: Any = 1  # (b,) int64, what it counts for: evaluations that had to wait for each other
    quiet: bool = False  # what a method ends with, other than the last round told: counted, not told
    number: int = 0  # rounds so far; the driver's


R = TypeVar("R", bound=Round)


class Run(Generic[R]):
    """A run of B samples within limits: iterate over it for its rounds, then ask what each sample took.

    max_seconds: the round under way when they are over is the last. on_round: called after each round, once the loop
    over this run has seen it; True or a Stop from it ends the run. from_start: what the method yields first is its
    start, round 0. A method that ends by itself has met its tolerance or had all its rounds.
    """

    def __init__(
        self,
        rounds: Iterable[R],
        samples: int,
        *,
        max_seconds: float | None = None,
        on_round: Callable[[R], object] | None = None,
        from_start: bool = False,
    ) -> None:
        self._source, self._from_start = rounds, from_start
        self.max_seconds, self.on_round = max_seconds, on_round
        self._calls, self._nfe = np.zeros((2, samples), dtype=np.int64)
        self._settled, self._lost = np.zeros((2, samples), dtype=bool)
        self.ended = Stop.MAX_ITER  # of samples that are neither settled nor lost
        self.last: R | None = None

    def __iter__(self) -> Iterator[R]:
        started = time.perf_counter()
        try:
            for made in self._source:
                self.last = reached = self._counted(made, start=self._from_start and self.last is None)
                yield reached
                if not reached.quiet and self._over(reached, started):
                    return
        finally:  # a method may hold something open
            getattr(self._source, "close", lambda: None)()

    def to_end(self) -> "Run[R]":
        """Itself, after its last round."""
        for _ in self:
            pass
        return self

    def _counted(self, made: R, start: bool) -> R:
        at = slice(None) if made.samples is None else made.samples.numpy(force=True)
        self._calls[at] += 0 if start else _plain(made.calls)
        self._nfe[at] += _plain(made.nfe)
        self._settled[at], self._lost[at] = _plain(made.settled), _plain(made.lost)
        number = int(self._calls[at].max(initial=0))
        if self.on_round is None:
            return replace(made, number=number)
        samples = torch.arange(len(self._calls)) if made.samples is None else made.samples
        return replace(made, number=number, samples=samples, nfe=torch.as_tensor(made.nfe).expand(len(samples)))

    def _over(self, reached: R, started: float) -> bool:
        answer = self.on_round(reached) if self.on_round is not None else None
        if answer:
            self.ended = answer if isinstance(answer, Stop) else Stop.INTERRUPTED
        elif self.max_seconds is not None and time.perf_counter() - started > self.max_seconds:
            self.ended = answer = Stop.MAX_SECONDS
        return bool(answer)

    @property
    def rounds(self) -> Tensor:
        """(B,) int64, rounds that each sample took part in."""
        return torch.from_numpy(self._calls)

    @property
    def nfe(self) -> Tensor:
        """(B,) int64, evaluations of each."""
        return torch.from_numpy(self._nfe)

    def stopped(self, finite: Tensor | None = None) -> tuple[Stop, ...]:
        """Why each sample ended; finite: (B,) bool, those whose result is."""
        lost = self._lost if finite is None else self._lost | ~finite.numpy(force=True)
        if self._settled.all() and not lost.any():
            return (Stop.CONVERGED,) * len(lost)
        return tuple(
            Stop.DIVERGED if gone else Stop.CONVERGED if met else self.ended
            for gone, met in zip(lost.tolist(), self._settled.tolist(), strict=True)
        )


def _plain(value: Any) -> Any:
    return value.numpy(force=True) if isinstance(value, Tensor) else value
