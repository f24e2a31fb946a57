"""Networks drawn from a seed, their equilibrium layers, and rows of what was measured on them."""

from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import Any, TypeVar

import torch
from torch import nn

from deqbench.measure.clock import now
from deqbench.solvers.deq import DEQ

Made = TypeVar("Made")


def seeded(make: Callable[[], Made], seed: int) -> Made:
    """make(), its weights drawn from the seed, and torch's own generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def layer_of(net: nn.Module) -> DEQ | None:
    """The network's equilibrium layer, None where it has none."""
    return next((module for module in net.modules() if isinstance(module, DEQ)), None)


def finished(run: Callable[[], object], device: str) -> None:
    """Runs it, and waits until the device has done all of it."""
    run()
    now(device)


def rows_of(values: Mapping[str, float], units: Mapping[str, str] | None = None, **keys: Any) -> list[dict[str, Any]]:
    """A row a metric, with the keys; nan for what is not finite."""
    return [
        {**keys, "metric": metric, "value": value if isfinite(value) else nan, "unit": (units or {}).get(metric, "")}
        for metric, value in values.items()
    ]
