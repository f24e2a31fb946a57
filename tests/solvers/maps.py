"""Nonlinear maps, and the states at which a solver evaluates them."""

import numpy as np
import torch

from deqbench.solvers import solve
from tests.problems import random


def record(f, z0, rounds, **options):
    """The states (rounds, B, *dims) at which f is evaluated."""
    states = []
    solve(f, z0, tol=0.0, max_iter=rounds, on_round=lambda **row: states.append(row["state"].clone()), **options)
    return torch.stack(states)


def network(shape: tuple[int, ...], seed: int, spectral: float = 0.9):
    """A nonlinear map of (B, *shape) that mixes all of a sample's values."""
    n = int(np.prod(shape))
    W = random(n, n, seed=seed)
    W = W * spectral / torch.linalg.matrix_norm(W, 2)
    b = random(n, seed=seed + 1)
    return lambda z: (torch.sin(z.flatten(1) @ W.T) + z.flatten(1) @ W.T / 2 + b).view_as(z)
