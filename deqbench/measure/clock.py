"""The clock of a device, and two ways to read it."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def now(device: str) -> float:
    """Seconds, once the device has done what it was told."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


class Stopwatch:
    """A callback that notes when it is told something, in seconds from its making, and what that is."""

    def __init__(self, device: str, note: Callable[[Any], Any] = lambda event: event) -> None:
        self.device, self.note = device, note
        self.told: list[tuple[float, Any]] = []
        self.started = now(device)

    def __call__(self, event: Any) -> None:
        self.told.append((self.seconds(), self.note(event)))

    def seconds(self) -> float:
        """Seconds until now."""
        return now(self.device) - self.started


def in_turns(runs: Mapping[Any, Callable[[], object]], repeats: int) -> dict[Any, list[float]]:
    """Seconds of each run, so many times; the runs take turns, and a first turn of all warms up."""
    spent: dict[Any, list[float]] = {key: [] for key in runs}
    for turn in range(-1, repeats):
        for key, run in runs.items():
            started = time.perf_counter()
            run()
            if turn >= 0:
                spent[key].append(time.perf_counter() - started)
    return spent
