"""Picard sweeps on a sliding window with settled states frozen. Source: ParaDiGMS, algorithm 1."""

from collections.abc import Iterator
from typing import Literal

import torch

from deqbench.bounds import Count, NonNegative, Share
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round, of_system
from deqbench.solvers.triangular import sweeps


def sample(
    chain: DDIMChain,
    *,
    window: Share = 0.05,
    min_window: Count = 20,
    tol: NonNegative = 1e-4,
    split: Literal["eps", "drift"] = "drift",
) -> Iterator[Round]:
    """The chain to a relative move of `tol` a state.

    window: as a share of the chain's steps, but at least min_window of them. split: the linear part that a sweep
    treats exactly, `eps` as the paper's h-tilde or `drift` as ParaDiGMS.
    """
    linear = torch.ones(chain.steps, dtype=torch.float64) if split == "drift" else None
    width = min(chain.steps, max(min_window, round(window * chain.steps)))
    return of_system(sweeps(chain, window=width, tol=tol, split=linear))
