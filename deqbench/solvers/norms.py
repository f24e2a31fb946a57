"""The lengths of samples, exact enough for states of millions of values."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

LONGEST_BLOCK = 512  # values to add up in float32 before going on in float64


def norms(*states: Tensor) -> np.ndarray:
    """The 2-norms of the samples of each state, (B, *dims): (states, B) float64.

    Squares are summed in the states' dtype within blocks and in float64 across them: one float32 sum over 3e6 values is
    wrong by 1e-4. Lengths whose squares may leave float32's range are taken again in float64.
    """
    shape = len(states[0]), math.prod(states[0].shape[1:])
    c = block_length(shape[1])
    if c == shape[1] and c <= LONGEST_BLOCK:
        lengths = torch.linalg.vector_norm(torch.stack(states).reshape(len(states), *shape), dim=2)
        plain: np.ndarray = lengths.double().numpy(force=True)
        if plain.min(initial=1) > 1e-12 and plain.max(initial=1) < 1e15:
            return plain
    elif 0 < c <= LONGEST_BLOCK:
        blocks = [torch.linalg.vector_norm(x.reshape(shape[0], -1, c), dim=2) for x in states]  # (B, blocks)
        lengths = torch.linalg.vector_norm(torch.stack(blocks), dim=2, dtype=torch.float64).numpy(force=True)
        if lengths.min() > 1e-12 and lengths.max() < 1e15:
            return lengths
    exact = [torch.linalg.vector_norm(x.reshape(shape), dim=1, dtype=torch.float64) for x in states]
    return torch.stack(exact).numpy(force=True)


@lru_cache
def block_length(width: int) -> int:
    """The number of values in a row to sum in their dtype: a divisor of width, at most LONGEST_BLOCK if one is near."""
    blocks = range(min(width, LONGEST_BLOCK), LONGEST_BLOCK // 8, -1)
    return width if width <= LONGEST_BLOCK else next((d for d in blocks if width % d == 0), width)
