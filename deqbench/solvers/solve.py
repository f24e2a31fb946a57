"""The loop, the stop test, the counts and the traces of every fixed-point solver, and the family of methods."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from deqbench.errors import UserError, did_you_mean
from deqbench.registry import Family

Stop = Literal["converged", "max_iter", "diverged"]
TINY = np.finfo(np.float64).tiny
LONGEST_BLOCK = 512  # values to add up in float32 before going on in float64


@runtime_checkable
class History(Protocol):
    """What one run of a method remembers, about the samples that are still active."""

    def step(self, state: Tensor, fz: Tensor, residual: Tensor) -> Tensor:
        """The next state, a new tensor, from fz = f(state) and residual = fz - state, all (B, *dims).

        fz and residual are lent and must not be written to: the next round may overwrite them, so copy what you keep.
        """
        ...

    def select(self, keep: Tensor) -> None:
        """Forget all samples but keep, (B',) int64 positions in the present batch."""
        ...


@runtime_checkable
class Method(Protocol):
    """A method's settings: unchanging, and shared by all runs."""

    def start(self, z0: Tensor) -> History:
        """A fresh history for a run from z0, (B, *dims)."""
        ...


FAMILY = Family("solver", "SOLVER", "solvers")
solvers = FAMILY.names


@dataclass(frozen=True)
class FixedPoint:
    """A solved, or given up, z = f(z): B independent samples, sample i after K_i rounds of one evaluation each."""

    z: Tensor  # (B, *dims) the latest evaluation f(state); the last residual is the length of that last step
    state: Tensor  # (B, *dims) the iterate at which z was evaluated
    absolute: tuple[Tensor, ...]  # B traces (K_i,) float64, ||f(z) - z||_2, a row a round, never padded
    relative: tuple[Tensor, ...]  # B traces (K_i,) float64, ||f(z) - z||_2 / ||f(z)||_2
    rounds: Tensor  # (B,) int64, K_i
    evaluations: int  # samples passed through f, all rounds together
    stopped: tuple[Stop, ...]  # why each sample stopped

    @property
    def converged(self) -> Tensor:
        """(B,) bool, which samples met the tolerance."""
        return torch.tensor([reason == "converged" for reason in self.stopped], device=self.z.device)


@torch.no_grad()
def solve(
    f: Callable[[Tensor], Tensor],
    z0: Tensor,
    *,
    solver: str | Method = "picard",
    tol: float = 1e-3,
    max_iter: int = 100,
    stop: Literal["sample", "batch"] = "sample",
    on_round: Callable[..., object] | None = None,
    **options: Any,
) -> FixedPoint:
    """The fixed point of f, a map of (B, *dims) that keeps shape and dtype, from the start z0 of that shape.

    tol bounds ||f(z) - z|| / ||f(z)||: of each sample, or pooled over the batch for stop="batch" (all samples then stop
    together, as the released DEQ-DDIM code does). tol=0 runs to max_iter, the number of evaluations of f, unless a
    residual is exactly 0. A sample that is no longer finite stops as "diverged" and does not hold up the others.

    A settled sample leaves the batch. If f has `select(indices)`, the map restricted to those samples of the original
    batch, f is no longer evaluated there; without one, f still sees the whole batch, z0 in the settled places, and
    these evaluations are counted and thrown away. f may reuse its output buffer. It runs without gradients, unless it
    enables them itself.

    options are the method's own settings. After each round on_round gets the keywords k (rounds so far, from 1), state
    and fz, (b, *dims), indices, (b,) int64, the samples of the original batch still active, and their absolute and
    relative residuals, (b,) float64. They are lent: copy what you keep, change nothing.

    ValueError: a value out of range, an unknown solver or option.
    """
    _check(z0, tol, max_iter, stop)
    history = _method(solver, options).start(z0)
    record, evaluate = _Record(z0), _Evaluator(f, z0)
    state, spare, active = z0, torch.empty_like(z0), torch.arange(len(z0), device=z0.device)
    for k in range(1, max_iter + 1 if len(z0) else 1):
        fz = evaluate(state, active)
        residual = torch.sub(fz, state, out=spare)
        absolute, length = norms(residual, fz)
        relative = _ratio(absolute, length)
        record.add_round(absolute, relative)
        if on_round is not None:
            traced = {"absolute": torch.from_numpy(absolute), "relative": torch.from_numpy(relative)}
            on_round(k=k, state=state, fz=fz, indices=active, **traced)
        finite = np.isfinite(absolute + length)
        met = finite & ((relative if stop == "sample" else _pooled(absolute, length, finite)) <= tol)
        going = finite & ~met & (k < max_iter)
        if not going.all():
            record.settle(going, met, finite, state, fz)
            if not going.any():
                break
            keep = torch.from_numpy(going.nonzero()[0]).to(active.device)
            active, state, fz, residual = active[keep], state[keep], fz[keep], residual[keep]
            spare = torch.empty_like(residual)
            history.select(keep)
        state = history.step(state, fz, residual)
    return record.result(evaluate.evaluations)


def norms(*states: Tensor) -> np.ndarray:
    """The 2-norms of the samples of each state, (B, *dims): (states, B) float64.

    Squares are summed in the states' dtype within blocks and in float64 across them: one float32 sum over 3e6 values is
    wrong by 1e-4. Lengths whose squares may leave float32's range are found again in float64.
    """
    shape = len(states[0]), math.prod(states[0].shape[1:])
    c = block_length(shape[1])
    if 0 < c <= LONGEST_BLOCK:
        blocks = [torch.linalg.vector_norm(x.reshape(shape[0], -1, c), dim=2) for x in states]  # (B, blocks)
        found = torch.linalg.vector_norm(torch.stack(blocks), dim=2, dtype=torch.float64).numpy(force=True)
        if found.min() > 1e-12 and found.max() < 1e15:
            return found
    lengths = [torch.linalg.vector_norm(x.reshape(shape), dim=1, dtype=torch.float64) for x in states]
    return torch.stack(lengths).numpy(force=True)


@lru_cache
def block_length(width: int) -> int:
    """How many values in a row to sum in their own dtype: a divisor of width, at most LONGEST_BLOCK if one is near."""
    blocks = range(min(width, LONGEST_BLOCK), LONGEST_BLOCK // 8, -1)
    return width if width <= LONGEST_BLOCK else next((d for d in blocks if width % d == 0), width)


def _ratio(absolute: Any, length: Any) -> Any:
    """The relative residual; 0 where both are 0."""
    with np.errstate(all="ignore"):
        return absolute / np.maximum(length, TINY)


def _pooled(absolute: np.ndarray, length: np.ndarray, finite: np.ndarray) -> np.floating:
    """One relative residual for all samples together; those that diverged do not count."""
    return _ratio(np.linalg.norm(absolute[finite]), np.linalg.norm(length[finite]))


def _check(z0: Tensor, tol: float, max_iter: int, stop: str) -> None:
    if z0.dim() == 0 or z0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"z0: expected float32 or float64 of shape (B, *dims), found {z0.dtype} {tuple(z0.shape)}")
    if not tol >= 0:
        raise ValueError(f"tol: expected a number of at least 0, found {tol}")
    if max_iter < 1:
        raise ValueError(f"max_iter: expected at least 1, found {max_iter}")
    if stop not in ("sample", "batch"):
        raise ValueError(
            f"stop: expected one of sample, batch; found {stop!r}{did_you_mean(stop, ('sample', 'batch'))}"
        )


def _method(solver: str | Method, options: dict[str, Any]) -> Method:
    """The method by that name with these options, or the method itself."""
    if not isinstance(solver, str):
        if options:
            raise TypeError(f"options {', '.join(options)}: give them to the solver's own constructor")
        return solver
    try:
        return FAMILY.call(solver, options)
    except UserError as error:
        raise ValueError(str(error)) from error


class _Evaluator:
    """f on the active samples only, with a count of the samples that really went through."""

    def __init__(self, f: Callable[[Tensor], Tensor], z0: Tensor) -> None:
        self.f, self.z0, self.evaluations = f, z0, 0
        self.restricted, self.size = f, len(z0)

    def __call__(self, state: Tensor, active: Tensor) -> Tensor:
        if len(active) == self.size:
            fz = self._call(self.restricted, state)
        elif hasattr(self.f, "select"):
            self.restricted, self.size = self.f.select(active), len(active)
            return self(state, active)
        else:
            fz = self._call(self.f, self.z0.index_copy(0, active, state))[active]
        return fz

    def _call(self, f: Callable[[Tensor], Tensor], state: Tensor) -> Tensor:
        self.evaluations += len(state)
        fz = f(state)
        if fz.shape != state.shape or fz.dtype != state.dtype:
            raise ValueError(
                f"f: expected {state.dtype} {tuple(state.shape)} like its argument, found {fz.dtype} {tuple(fz.shape)}"
            )
        return fz.detach()


class _Record:
    """The result in the making: samples are numbered as in the original batch."""

    def __init__(self, z0: Tensor) -> None:
        self.z, self.state = torch.empty_like(z0), torch.empty_like(z0)
        self.active = np.arange(len(z0))
        self.stopped: list[Stop] = ["max_iter"] * len(z0)
        self.traces: list[list[tuple[float, float]]] = [[] for _ in self.stopped]

    def add_round(self, absolute: np.ndarray, relative: np.ndarray) -> None:
        for i, row in zip(self.active, zip(absolute.tolist(), relative.tolist(), strict=True), strict=True):
            self.traces[i].append(row)

    def settle(self, going: np.ndarray, met: np.ndarray, finite: np.ndarray, state: Tensor, fz: Tensor) -> None:
        """Take down what the samples that go on no longer end with, and why."""
        places, settled = (torch.from_numpy(i).to(fz.device) for i in (self.active[~going], (~going).nonzero()[0]))
        self.z[places], self.state[places] = fz[settled], state[settled]
        for i in settled.tolist():
            self.stopped[self.active[i]] = "converged" if met[i] else "max_iter" if finite[i] else "diverged"
        self.active = self.active[going]

    def result(self, evaluations: int) -> FixedPoint:
        traces = [torch.tensor(rows, dtype=torch.float64).reshape(-1, 2) for rows in self.traces]
        return FixedPoint(
            z=self.z,
            state=self.state,
            absolute=tuple(trace[:, 0] for trace in traces),
            relative=tuple(trace[:, 1] for trace in traces),
            rounds=torch.tensor([len(trace) for trace in traces], dtype=torch.int64, device=self.z.device),
            evaluations=evaluations,
            stopped=tuple(self.stopped),
        )
