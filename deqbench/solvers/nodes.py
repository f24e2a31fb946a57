"""Which steps of a chain stand for the others, and what lies between them."""

import numpy as np
import torch
from torch import Tensor

EVEN = 0.5  # share of the nodes that are spread evenly, but for closer ends


def spread(turns: np.ndarray, nodes: int) -> np.ndarray:
    """At most `nodes` rising places in range(len(turns)), the first and the last among them."""
    count = len(turns)
    even = np.diff(np.arccos(1 - 2 * np.linspace(0, 1, count + 1)))  # Chebyshev's nodes have this density
    density = EVEN * even / even.sum() + (1 - EVEN) * turns / max(turns.sum(), 1e-30)
    below = np.concatenate([[0.0], density.cumsum()])
    places = np.interp(np.linspace(0, below[-1], nodes), below, np.arange(count + 1))
    return np.unique(places.round().clip(0, count - 1).astype(np.int64))


class Between:
    """Linear interpolation from rising steps to all steps first..last-1; constant beyond the outermost."""

    def __init__(self, steps: Tensor, first: int, last: int) -> None:
        self.exact = len(steps) == last - first
        if self.exact:
            return
        places = torch.arange(first, last)
        self.right = torch.searchsorted(steps, places).clamp(1, max(len(steps) - 1, 1)).clamp_max(len(steps) - 1)
        self.left = (self.right - 1).clamp_min(0)
        width = (steps[self.right] - steps[self.left]).clamp_min(1)
        self.weight = ((places - steps[self.left]).double() / width).clamp(0, 1)

    def __call__(self, values: Tensor) -> Tensor:
        """(K, *dims) -> (M, *dims)."""
        if self.exact:
            return values
        return values[self.left.to(values.device)].lerp(values[self.right.to(values.device)], rows(self.weight, values))


def rows(values: Tensor, like: Tensor) -> Tensor:
    """(M,) -> (M, 1, ...) in the dtype and on the device of `like`."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))
