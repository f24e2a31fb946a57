"""The seconds that a run will take: the measured cost of a network call, t(B), times the calls that a method makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from deqbench.measure.clock import in_turns


@dataclass(frozen=True)
class CostCurve:
    """t(B): seconds of one network call with B images, measured at some B, linear between and beyond them.

    max_batch: larger calls are split, as deqbench.diffusion.network.NoisePredictor does.
    """

    images: tuple[int, ...]  # rising
    seconds: tuple[float, ...]
    max_batch: int

    def __call__(self, images: int) -> float:
        """Seconds of a call with that many images."""
        whole, rest = divmod(images, self.max_batch)
        return whole * self._one(self.max_batch) + (self._one(rest) if rest else 0.0)

    def flatter(self, free: int) -> "CostCurve":
        """A device on which up to `free` images cost what one costs, and any more in proportion: a projection."""
        beyond = (free * 2, free * 4)
        seconds = (self.seconds[0],) * 2 + tuple(self.seconds[0] * images / free for images in beyond)
        return replace(self, images=(1, free, *beyond), seconds=seconds, max_batch=10**9)

    def _one(self, images: int) -> float:
        if images <= self.images[-1]:
            return float(np.interp(images, self.images, self.seconds))
        slope = (self.seconds[-1] - self.seconds[-2]) / (self.images[-1] - self.images[-2])
        return self.seconds[-1] + slope * (images - self.images[-1])


def measure(call: Callable[[int], object], images: Sequence[int], max_batch: int, repeats: int) -> CostCurve:
    """The curve of `call(B)`, medians of `repeats` runs that take turns over the sizes, after a warm-up of each."""
    sizes = sorted({size for size in images if size <= max_batch} | {1, max_batch})
    spent = in_turns({size: partial(call, size) for size in sizes}, repeats)
    return CostCurve(tuple(sizes), tuple(float(np.median(spent[size])) for size in sizes), max_batch)


@dataclass(frozen=True)
class Profile:
    """The calls of a method on calibration images: the images in each network call of each run, and its own time."""

    calls: tuple[tuple[int, ...], ...]  # a run, a call
    overhead_s: float  # of a run beside the network, mean

    def predicted(self, curve: CostCurve) -> float:
        """Seconds of a run, mean over the calibration runs."""
        network = np.mean([sum(curve(images) for images in run) for run in self.calls])
        return float(network) + self.overhead_s


@dataclass(frozen=True)
class Plan:
    """The method that is predicted to be fastest."""

    method: str
    fallback: bool  # the sequential sampler itself: it never enters a speed-up
    forced: str  # the fastest of the parallel ones, whatever the plan
    predicted: Mapping[str, float]  # seconds by method


def plan(profiles: Mapping[str, Profile], curve: CostCurve, sequential: str) -> Plan:
    """Picks by predicted seconds. ValueError: there is no parallel method, or no profile of the sequential one."""
    parallel = [name for name in profiles if name != sequential]
    if sequential not in profiles or not parallel:
        raise ValueError(f"profiles: expected '{sequential}' and another method; found {', '.join(profiles) or 'none'}")
    predicted = {name: profile.predicted(curve) for name, profile in profiles.items()}
    best = min(predicted, key=lambda name: predicted[name])
    return Plan(best, best == sequential, min(parallel, key=lambda name: predicted[name]), predicted)
