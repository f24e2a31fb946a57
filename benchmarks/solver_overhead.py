"""The cost of a round of Anderson, or of secant sweeps, beside the network, in units of a memory floor; `make bench`.

One image's chain of T states of 3 x 32 x 32, float32, m = 5. The real loop, `solve`, runs on a map that returns stored
tensors; secant sweeps run on a DDIM chain whose noise predictor does, every step in every round. A round's time goes
from the moment the map returns to the moment it is called again: residual, norms, stop test, traces, history, dot
products, small systems, mixing. Not included: the map itself, the first rounds (the window fills, memory is touched for
the first time) and the copies made once, at the end of a run. A round of secant sweeps holds the chain's sum as well,
which for Anderson is part of the map; where the change turns it does not ask, as every step is evaluated anyway.
"secant" learns the slopes of single frequencies too, "one-slope" leaves that out.

The floor is 2m + 5 = 15 vectors of the state's size copied around a ring of 15 distinct buffers, each from the one that
was written 14 copies ago. A copy reads one vector and writes one, so a stricter floor, 15 vectors read or written once,
is half of it: the last column's ratio. Floor and rounds alternate one by one, so that both meet the same load and both
find the caches full of something else, as after a network; --block 10 alternates ten by ten and leaves out the first of
each ten, so that both run warm. A ratio is that of neighbouring blocks' medians; the table gives the median of these
ratios with a 95 % bootstrap interval. Use an idle machine: with two threads on busy cores the figures mean nothing.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.samplers.secant import slopes
from deqbench.diffusion.schedule import Schedule
from deqbench.solvers import solve
from deqbench.solvers.rounds import Run
from deqbench.solvers.secant import secant_sweeps

M = 5
MIXINGS = ("chain", "timestep", "triangular")
SECANTS = ("secant", "one-slope")
LIMITS = {50: 2.0, 200: 2.0, 1000: 1.5}  # times the floor


class StoredMap:
    """Stored tensors in turn in the place of a network; it times the rounds between its calls, and the floor."""

    def __init__(self, shape: tuple[int, ...], block: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.answers = [torch.randn(shape, generator=generator) for _ in range(3)]
        self.ring = [torch.randn(shape, generator=generator) for _ in range(2 * M + 5)]
        self.block, self.calls, self.returned = block, 0, 0.0
        self.rounds: list[float] = []  # seconds
        self.floors: list[float] = []  # seconds, as many

    def __call__(self, z: Tensor) -> Tensor:
        if self.calls:
            self.rounds.append(time.perf_counter() - self.returned)
        if self.calls % self.block == 0:
            self.floors += [timed(self.copy_ring) for _ in range(self.block)]
        self.calls += 1
        self.returned = time.perf_counter()
        return self.answers[self.calls % len(self.answers)]

    def copy_ring(self) -> None:
        for i, target in enumerate(self.ring):
            target.copy_(self.ring[(i + 1) % len(self.ring)])


def timed(work: Callable[[], None]) -> float:
    """Seconds of wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(T: int, method: str, blocks: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Median seconds of the floor and of the rounds beside it, (blocks,) each."""
    if method in SECANTS:
        return measure_secant(T, blocks * block, method == "secant")
    warm_up = math.ceil(12 / block)
    rounds = (warm_up + blocks) * block
    stored, z0 = StoredMap((1, T, 3, 32, 32), block), torch.zeros(1, T, 3, 32, 32)
    solve(stored, z0, solver="anderson", m=M, mixing=method, tol=0, max_iter=rounds + 1)
    times = np.array([stored.floors[:rounds], stored.rounds]).reshape(2, -1, block)[:, warm_up:]
    floors, steps = np.median(times[:, :, min(1, block - 1) :], axis=2)
    return floors, steps


def measure_secant(T: int, rounds: int, local: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same, in runs of some rounds: each settles one state, so that at most a fifth is settled in the end."""
    alpha_bar = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    shape = 192, 4, 4  # images of 3 x 32 x 32 in the coordinates that their chains are solved in
    x_T = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    stored, floors, steps = StoredMap((T, *shape), 1), [], []
    while len(steps) < rounds:
        stored.floors, stored.rounds, stored.calls = [], [], 0
        schedule = Schedule(alpha_bar, 1.0)
        chain = DDIMChain.make(lambda x, t: stored(x)[-len(x) :], schedule, "uniform-released", T, x_T)
        known = replace(slopes(chain, 0.2), **({"apart": 1} if local else {"place": None}))
        Run(secant_sweeps(chain, known, tol=1e-30, nodes=T, max_rounds=min(10, T)), 1).to_end()
        floors += stored.floors[3 : len(stored.rounds)]
        steps += stored.rounds[3:]
    return np.array(floors), np.array(steps)


def median_interval(values: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """The median with its 95 % bootstrap interval."""
    picks = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each line of the table (default 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="thread counts to measure (default 1)")
    parser.add_argument("--block", type=int, default=1, help="rounds of each kind in a row (default 1)")
    parser.add_argument("--assert-ratio", action="store_true", help="exit 1 if a median ratio is above its limit")
    arguments = parser.parse_args()
    print("threads     T  mixing     floor ms   step ms   step/floor (95 %)     limit   step/(floor/2)")
    too_slow = False
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for T, limit in LIMITS.items():
            for mixing in (*MIXINGS, *SECANTS):
                floors, steps = measure(T, mixing, 3, arguments.block)
                blocks = int(arguments.seconds / np.median(floors + steps) / arguments.block)
                floors, steps = measure(T, mixing, min(max(blocks, 10), 1000), arguments.block)
                ratio, low, high = median_interval(steps / floors)
                too_slow |= ratio > limit
                print(
                    f"{threads:7d} {T:5d}  {mixing:10s} {1e3 * np.median(floors):9.3f} {1e3 * np.median(steps):9.3f}   "
                    f"{ratio:5.2f} ({low:.2f} to {high:.2f})   {limit:6.1f} {'over' if ratio > limit else 'ok':5s}"
                    f"{2 * ratio:6.2f}",
                    flush=True,
                )
    return int(too_slow and arguments.assert_ratio)


if __name__ == "__main__":
    sys.exit(main())
