"""The driver of every inverter: the clock, the trace, early stops, budgets and the best iterate."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec, decibel, nmse
from deqbench.decoder_inversion.inverters import Iterate, invert
from deqbench.solvers.rounds import Result, Stop

Keep = Literal["last", "best"]


@dataclass(frozen=True, kw_only=True)
class DecoderInversion(Result):
    """The latents of B images after n iterations, and what they took."""

    z: Tensor  # (B, c, h, w); frames alike
    residuals: Tensor  # (n + 1, B) float64, ||E(D(z)) - E(x)|| / ||E(x)|| by iteration; NaN where it was not looked at
    losses: Tensor  # (n + 1, B) float64, squared pixel error, summed; NaN where the method does not see it
    nmse: Tensor  # (n + 1, B) float64, against the true latents; NaN where they were not given
    seconds: Tensor  # (n + 1,) float64, since the start, until this iterate was at hand
    iterations: Tensor  # (B,) int64, the iterate that z is


@dataclass(frozen=True)
class Plateau:
    """A stop where a run no longer pays: its mean NMSE in dB fell by less than `drop` within the last iterations."""

    drop: float  # dB
    within: int


@torch.no_grad()
def relative_residual(reference: Codec, z: Tensor, code: Tensor) -> Tensor:
    """(B,) float64, ||E(D(z)) - code|| / ||code||, by the reference codec. z and code: (B, c, h, w)."""
    apart = (reference.encode_decode(z).double() - code.double()).flatten(1).norm(dim=1)
    return apart / code.double().flatten(1).norm(dim=1)


def run(
    name: str,
    codec: Codec,
    x: Tensor,
    options: dict[str, Any],
    iterations: int,
    *,
    start: Tensor | None = None,
    z_true: Tensor | None = None,
    tol: float = 0.0,
    max_seconds: float | None = None,
    keep: Keep = "last",
    reference: Codec | None = None,
    every: int | None = 1,
    plateau: Plateau | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> DecoderInversion:
    """Inverts images x (B, 3, H, W), or frames, by the named inverter from `start` (None: E(x)).

    tol: an image stops once its relative residual is at most this (0: never). keep "best": z is the iterate of the
    smallest residual among those looked at, the start among them, so that it is never worse than E(x); "last": the last
    one, finite or not. reference: the codec that residuals are evaluated by, in float32 and without sampling, where the
    method's own are not (None: `codec`); `every`: how many iterations apart (None: never). Residuals that a rule needs
    (tol, best) count in the seconds, those that are only watched do not. z_true is for the trace alone: no method sees
    it. plateau: a run ends where it has reached one by the true latents, asked every `every` iterations; a benchmark's
    stop, for nobody else knows them.

    UserError: unknown inverter or option. ValueError: a number out of range, a plateau without z_true, a rule (tol,
    best, plateau) without `every`.
    """
    if iterations < 0 or (every is not None and every < 1) or not tol >= 0:
        raise ValueError(f"iterations, every, tol: expected at least 0, 1 and 0; found {iterations}, {every} and {tol}")
    if every is None and (tol > 0 or keep == "best" or plateau is not None):
        raise ValueError("every: expected a number where a rule looks at residuals or at the trace; found none")
    if plateau is not None and z_true is None:
        raise ValueError("plateau: expected the true latents too; found none")
    watch = Watch(codec, reference or codec, x, z_true, tol, max_seconds, keep, every, plateau, iterations, on_progress)
    last = invert(name, codec, x, start, options, iterations=iterations, on_iterate=watch)
    return watch.result(last)


@dataclass
class Watch:
    """The `on_iterate` that keeps the trace and decides when to stop."""

    codec: Codec
    reference: Codec
    x: Tensor
    z_true: Tensor | None
    tol: float
    max_seconds: float | None
    keep: Keep
    every: int | None
    plateau: Plateau | None
    iterations: int
    on_progress: Callable[[int], object] | None
    traces: dict[str, list[Tensor]] = field(default_factory=lambda: {"residuals": [], "losses": [], "nmse": []})
    seconds: list[float] = field(default_factory=list)
    ended: Stop = Stop.MAX_ITER

    def __post_init__(self) -> None:
        count, self.device = len(self.x), self.x.device
        self.best, self.least = torch.empty(0), torch.full((count,), float("inf"), dtype=torch.float64)
        self.at = torch.zeros(count, dtype=torch.int64)
        self.converged, self.finite = torch.zeros(count, dtype=torch.bool), torch.ones(count, dtype=torch.bool)
        self.needed = self.tol > 0 or self.keep == "best"
        self.exact = self.codec.exact  # whether the method's own residuals are the reference's
        self.paused = 0.0
        self.started = self._now()
        with torch.no_grad():
            self.code = self.reference.encode(self.x)
        if not self.needed:
            self.paused = self._now() - self.started

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @torch.no_grad()
    def __call__(self, step: Iterate) -> bool:
        """Takes the step down; True where the run is over."""
        arrived = self._now()
        residual = self._residual(step)
        if self.needed:
            self._keep(step, residual)
            arrived = self._now()
        self.seconds.append(arrived - self.started - self.paused)
        self._trace(step, residual)
        if self.on_progress:
            self.on_progress(step.number)
        over = self._over(step)
        self.paused += self._now() - arrived
        return over

    def _residual(self, step: Iterate) -> Tensor:
        if step.residual is not None and self.exact:
            return step.residual.double().cpu() / self.code.double().flatten(1).norm(dim=1).cpu()
        if self.every is None or (step.number % self.every and step.number != self.iterations):
            return torch.full((len(self.x),), float("nan"), dtype=torch.float64)
        return relative_residual(self.reference, step.z, self.code).cpu()

    def _keep(self, step: Iterate, residual: Tensor) -> None:
        """The best iterate of each image, and which ones have met the tolerance: those stay as they are."""
        if not len(self.best):
            self.best = step.z.clone()
        better = ~self.converged & (residual < self.least) if self.keep == "best" else ~self.converged
        self.best[better], self.at[better] = step.z[better], step.number
        self.least = torch.where(better, residual, self.least)
        self.converged |= residual <= self.tol if self.tol > 0 else torch.zeros_like(self.converged)

    def _trace(self, step: Iterate, residual: Tensor) -> None:
        nothing = torch.full((len(self.x),), float("nan"), dtype=torch.float64)
        self.traces["residuals"].append(residual)
        self.traces["losses"].append(nothing if step.loss is None else step.loss.double().cpu())
        self.traces["nmse"].append(nothing if self.z_true is None else nmse(step.z, self.z_true).cpu())
        self.finite = step.z.flatten(1).isfinite().all(1).cpu()
        self.reached = step.number

    def _over(self, step: Iterate) -> bool:
        if not (self.finite & ~self.converged).any():
            return True
        if self.max_seconds is not None and self.seconds[-1] >= self.max_seconds and step.number < self.iterations:
            self.ended = Stop.MAX_SECONDS
            return True
        if self.plateau is not None and step.number < self.iterations and self._settled(step.number, self.plateau):
            self.ended = Stop.PLATEAU
            return True
        return False

    def _settled(self, number: int, plateau: Plateau) -> bool:
        if number < plateau.within or number % (self.every or 1):
            return False
        before, now = (decibel(self.traces["nmse"][k]).mean() for k in (number - plateau.within, number))
        return bool(before - now < plateau.drop)

    def result(self, last: Tensor) -> DecoderInversion:
        """The end of the run."""
        z = self.best if self.needed else last
        at = self.at if self.needed else torch.full_like(self.at, self.reached)
        reasons = [
            Stop.CONVERGED if met else Stop.DIVERGED if not finite else self.ended
            for met, finite in zip(self.converged.tolist(), self.finite.tolist(), strict=True)
        ]
        traces = {name: torch.stack(rows) for name, rows in self.traces.items()}
        return DecoderInversion(
            z=z,
            seconds=torch.tensor(self.seconds, dtype=torch.float64),
            iterations=at,
            stopped=tuple(reasons),
            **traces,
        )
