"""The iteration, the stop test and the traces of every fixed-point solver, and the family of solvers."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from deqbench.errors import UserError, did_you_mean
from deqbench.registry import Family
from deqbench.solvers.norms import norms
from deqbench.solvers.rounds import Result, Round, Run

TINY = np.finfo(np.float64).tiny


@runtime_checkable
class History(Protocol):
    """The memory of one run of a solver, about the samples that are still active."""

    def step(self, state: Tensor, fz: Tensor, residual: Tensor) -> Tensor:
        """The next state, a new tensor, from fz = f(state) and residual = fz - state, all (B, *dims).

        fz and residual are lent and must not be written to: the next round may overwrite them, so copy what you keep.
        """
        ...

    def select(self, keep: Tensor) -> None:
        """Forget all samples but keep, (B',) int64 positions in the present batch."""
        ...


@runtime_checkable
class Solver(Protocol):
    """A method's settings: unchanging, and shared by all runs."""

    def start(self, z0: Tensor) -> History:
        """A fresh history for a run from z0, (B, *dims)."""
        ...


FAMILY = Family("solver", "SOLVER", "solvers")
solvers = FAMILY.names


@dataclass(frozen=True, kw_only=True)
class FixedPoint(Result):
    """A solved, or given up, z = f(z): B independent samples, sample i after K_i rounds of one evaluation each."""

    z: Tensor  # (B, *dims) the latest evaluation f(state); the last residual is the length of that last step
    state: Tensor  # (B, *dims) the iterate at which z was evaluated
    told: Tensor  # (2, B, K) float64, absolute and relative residuals by round; nan after a sample's last one
    rounds: Tensor  # (B,) int64, K_i
    evaluations: int  # samples passed through f, all rounds together

    @property
    def absolute(self) -> tuple[Tensor, ...]:
        """B traces (K_i,) float64, ||f(z) - z||_2, a row a round, never padded."""
        return self._traces(self.told[0])

    @property
    def relative(self) -> tuple[Tensor, ...]:
        """B traces (K_i,) float64, ||f(z) - z||_2 / ||f(z)||_2."""
        return self._traces(self.told[1])

    @property
    def last(self) -> Tensor:
        """(B,) float64, the relative residual of each sample's last round; infinite where there was none."""
        return torch.tensor([float(trace[-1]) if len(trace) else math.inf for trace in self.relative])

    def _traces(self, rows: Tensor) -> tuple[Tensor, ...]:
        rounds = self.rounds.cpu()
        return rows[torch.arange(rows.shape[1]) < rounds[:, None]].split(rounds.tolist())


@dataclass
class Active:
    """The state of a solve: the samples still active, and the ends of the others."""

    samples: Tensor  # (b,) int64
    state: Tensor  # (b, *dims)
    fz: Tensor  # (b, *dims), f(state)
    left: tuple[Tensor, Tensor]  # (B, *dims) each, fz and state of the samples that are active no longer

    def leave(self, gone: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """fz and state (B, *dims) of all samples: those of the active ones are put to the others."""
        for kept, now in zip(self.left, (self.fz, self.state), strict=True):
            kept[self.samples[gone]] = now[gone]
        return self.left


@dataclass(frozen=True, kw_only=True)
class Evaluation(Round):
    """One round of a solver: f at the states of the samples that are still active."""

    active: Active  # as this round has left it, until the next one
    absolute: Tensor  # (b,) float64, ||f(z) - z||_2
    relative: Tensor  # (b,) float64, ||f(z) - z||_2 / ||f(z)||_2
    evaluations: int  # samples passed through f so far


def solve(
    f: Callable[[Tensor], Tensor],
    z0: Tensor,
    *,
    solver: str | Solver = "picard",
    tol: float = 1e-3,
    atol: float = 0.0,
    max_iter: int = 100,
    stop: Literal["sample", "batch"] = "sample",
    on_round: Callable[..., object] | None = None,
    **options: Any,
) -> FixedPoint:
    """The fixed point of f, a map of (B, *dims) that keeps shape and dtype, from the start z0 of that shape.

    tol bounds ||f(z) - z|| / ||f(z)||, atol bounds ||f(z) - z||, and a sample that meets either has settled; for
    stop="batch" both are pooled over the batch (all samples then stop together, as the released DEQ-DDIM code does).
    With both 0 it runs to max_iter, the number of evaluations of f, unless a residual is exactly 0. A sample that is no
    longer finite stops as "diverged" and does not hold up the others.

    A settled sample leaves the batch. If f has `select(indices)`, the map restricted to those samples of the original
    batch, f is no longer evaluated there; without one, f still sees the whole batch, z0 in the settled places, and
    these evaluations are counted and thrown away. f may reuse its output buffer. It runs without gradients, unless it
    enables them itself.

    options are the method's own settings. After each round on_round gets the keywords k (rounds so far, from 1), state
    and fz, (b, *dims), indices, (b,) int64, the samples of the original batch still active, and their absolute and
    relative residuals, (b,) float64. They are lent: copy what you keep, change nothing. True from it ends the solve.

    Raises ValueError for values out of range or an unknown solver, TypeError for an unknown option.
    """

    def tell(r: Evaluation) -> object:
        about = {"state": r.active.state, "fz": r.active.fz, "absolute": r.absolute, "relative": r.relative}
        return on_round and on_round(k=r.number, indices=r.samples, **about)

    rounds = iterate(f, z0, solver=solver, tol=tol, atol=atol, max_iter=max_iter, stop=stop, **options)
    run = Run(rounds, len(z0), on_round=tell if on_round else None)
    told = [(r.samples, r.absolute, r.relative) for r in run]
    z, state = run.last.active.leave() if run.last else (torch.empty_like(z0), torch.empty_like(z0))
    return FixedPoint(
        z=z,
        state=state,
        told=_by_round(told, len(z0)),
        rounds=run.rounds.to(z.device),
        evaluations=run.last.evaluations if run.last else 0,
        stopped=run.stopped(),
    )


def _by_round(told: Sequence[tuple[Tensor, Tensor, Tensor]], samples: int) -> Tensor:
    """(2, B, K) from a row of samples, their absolute and their relative residuals for each round."""
    both = torch.full((2, samples, len(told)), torch.nan, dtype=torch.float64)
    for k, (some, *residuals) in enumerate(told):
        if len(some) == samples:
            both[0, :, k], both[1, :, k] = residuals
        else:
            both[:, some.cpu(), k] = torch.stack(residuals)
    return both


def iterate(
    f: Callable[[Tensor], Tensor],
    z0: Tensor,
    *,
    solver: str | Solver = "picard",
    tol: float = 1e-3,
    atol: float = 0.0,
    max_iter: int = 100,
    stop: Literal["sample", "batch"] = "sample",
    **options: Any,
) -> Iterator[Evaluation]:
    """The rounds of `solve`, for methods that are built on one; its arguments, and its errors."""
    _check(z0, {"tol": tol, "atol": atol}, max_iter, stop)
    return _iterated(f, z0, _made(solver, options), (tol, atol), max_iter, stop)


@torch.no_grad()
def _iterated(
    f: Callable[[Tensor], Tensor], z0: Tensor, solver: Solver, tols: tuple[float, float], max_iter: int, stop: str
) -> Iterator[Evaluation]:
    (tol, atol), history = tols, solver.start(z0)
    evaluate, spare = _Evaluator(f, z0), torch.empty_like(z0)
    left, everyone = (torch.empty_like(z0), torch.empty_like(z0)), torch.arange(len(z0), device=z0.device)
    active = Active(everyone, z0, z0, left)
    for k in range(1, max_iter + 1 if len(z0) else 1):
        active.fz = evaluate(active.state, active.samples)
        residual = torch.sub(active.fz, active.state, out=spare)
        absolute, length = norms(residual, active.fz)
        relative = _ratio(absolute, length)
        finite = np.isfinite(absolute + length)
        near = (absolute, relative) if stop == "sample" else _pooled(absolute, length, finite)
        settled = finite & ((near[1] <= tol) | (near[0] <= atol))
        yield Evaluation(
            samples=active.samples,
            settled=settled,
            lost=~finite,
            active=active,
            absolute=torch.from_numpy(absolute),
            relative=torch.from_numpy(relative),
            evaluations=evaluate.evaluations,
        )
        going = finite & ~settled
        if k == max_iter or not going.any():
            return
        if not going.all():
            active.leave(torch.from_numpy(~going).to(z0.device))
            keep = torch.from_numpy(going.nonzero()[0]).to(z0.device)
            residual = residual[keep]
            active = Active(active.samples[keep], active.state[keep], active.fz[keep], left)
            spare = torch.empty_like(residual)
            history.select(keep)
        active.state = history.step(active.state, active.fz, residual)


def _ratio(absolute: Any, length: Any) -> Any:
    """The relative residual; 0 where both are 0."""
    with np.errstate(all="ignore"):
        return absolute / np.maximum(length, TINY)


def _pooled(absolute: np.ndarray, length: np.ndarray, finite: np.ndarray) -> tuple[np.floating, np.floating]:
    """One residual for all samples together, absolute and relative; those that diverged do not count."""
    pooled = np.linalg.norm(absolute[finite])
    return pooled, _ratio(pooled, np.linalg.norm(length[finite]))


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """ValueError: a value that is not one of those known."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}; found {value!r}{did_you_mean(value, known)}")


def _check(z0: Tensor, tols: dict[str, float], max_iter: int, stop: str) -> None:
    if z0.dim() == 0 or z0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"z0: expected float32 or float64 of shape (B, *dims), found {z0.dtype} {tuple(z0.shape)}")
    for name, tol in tols.items():
        if not tol >= 0:
            raise ValueError(f"{name}: expected a number of at least 0, found {tol}")
    if max_iter < 1:
        raise ValueError(f"max_iter: expected at least 1, found {max_iter}")
    one_of("stop", stop, ("sample", "batch"))


def _made(solver: str | Solver, options: dict[str, Any]) -> Solver:
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
