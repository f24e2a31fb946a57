"""What a round of Anderson costs beside the network, in units of a memory floor; run by `make bench`.

One image's chain of T states of 3 x 32 x 32, float32, m = 5. The real loop, `solve`, runs on a map that returns stored
tensors. A round's time goes from the moment the map returns to the moment it is called again: copy of the map's output,
residual, norms, stop test, traces, history, dot products, small systems, mixing. Not included: the map itself, the first
12 rounds (the window fills, memory is touched for the first time) and the copies made once, at the end of a run.

The floor is measured inside each call of the map, so that both are paired round by round and meet the same load and the
same cold caches: 2m + 5 = 15 vectors of the state's size are copied, around a ring of 15 distinct buffers. A copy reads
one vector and writes one, so a stricter floor, 15 vectors read or written once, is half of it: the last column's ratio.
Ratios are medians over rounds with the 95 % bootstrap interval of the median.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from deqbench.solvers import solve

M = 5
LIMITS = {50: 2.0, 200: 2.0, 1000: 1.5}  # times the floor
WARM_UP = 12


class StoredMap:
    """Stored tensors in turn in the place of a network, timing the floor and the rounds between its calls."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.answers = [torch.randn(shape, generator=generator) for _ in range(3)]
        self.ring = [torch.randn(shape, generator=generator) for _ in range(2 * M + 5)]
        self.floors: list[float] = []
        self.steps: list[float] = []
        self.returned: float | None = None

    def __call__(self, z: Tensor) -> Tensor:
        called = time.perf_counter()
        if self.returned is not None:
            self.steps.append(called - self.returned)
        self.floors.append(timed(self.copy_ring))
        answer = self.answers[len(self.floors) % len(self.answers)]
        self.returned = time.perf_counter()
        return answer

    def copy_ring(self) -> None:
        for i, target in enumerate(self.ring):
            target.copy_(self.ring[i - 1])


def timed(work: Callable[[], None]) -> float:
    """Seconds of wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(T: int, mixing: str, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the floor and of the step beside it, (rounds,) each."""
    stored = StoredMap((1, T, 3, 32, 32))
    solve(
        stored,
        torch.zeros(1, T, 3, 32, 32),
        solver="anderson",
        m=M,
        mixing=mixing,
        tol=0,
        max_iter=rounds + WARM_UP + 1,
    )
    return np.array(stored.floors[WARM_UP:-1]), np.array(stored.steps[WARM_UP:])


def median_interval(values: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """The median with its 95 % bootstrap interval."""
    picks = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each line of the table (default 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="thread counts to measure (default 1)")
    parser.add_argument("--assert-ratio", action="store_true", help="exit 1 if a median ratio is above its limit")
    arguments = parser.parse_args()
    print("threads     T  mixing    floor ms   step ms   step/floor (95 %)     limit   step/(floor/2)")
    too_slow = False
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for T, limit in LIMITS.items():
            for mixing in ("chain", "timestep"):
                floors, steps = measure(T, mixing, rounds=20)
                enough = int(arguments.seconds / np.median(floors + steps)) + 1
                floors, steps = measure(T, mixing, rounds=min(max(enough, 20), 3000))
                ratio, low, high = median_interval(steps / floors)
                too_slow |= ratio > limit
                print(
                    f"{threads:7d} {T:5d}  {mixing:8s} {1e3 * np.median(floors):9.3f} {1e3 * np.median(steps):9.3f}   "
                    f"{ratio:5.2f} ({low:.2f} to {high:.2f})   {limit:6.1f} {'over' if ratio > limit else 'ok':5s}"
                    f"{2 * ratio:6.2f}",
                    flush=True,
                )
    return int(too_slow and arguments.assert_ratio)


if __name__ == "__main__":
    sys.exit(main())
