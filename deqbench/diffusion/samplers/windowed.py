"""Picard sweeps on a sliding window with settled states frozen. Source: ParaDiGMS, algorithm 1."""

from typing import Literal

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled
from deqbench.solvers.triangular import sweep


def sample(
    chain: DDIMChain,
    *,
    window: float = 0.05,
    min_window: int = 20,
    tol: float = 1e-4,
    split: Literal["eps", "drift"] = "drift",
    on_round: OnRound | None = None,
) -> Sampled:
    """The chain to a relative move of `tol` a state.

    window: as a share of the chain's steps, but at least min_window of them. split: the linear part that a sweep
    treats exactly, `eps` as the paper's h-tilde or `drift` as ParaDiGMS.
    """
    if split not in ("eps", "drift"):
        raise ValueError(f"split: expected eps or drift; found '{split}'")
    linear = torch.ones(chain.steps, dtype=torch.float64) if split == "drift" else None
    width = min(chain.steps, max(min_window, round(window * chain.steps)))

    def tell(number: int, samples: Tensor, states: Tensor, evaluations: Tensor) -> None:
        if on_round:
            on_round(Round(number, samples, states[samples, -1], evaluations))

    found = sweep(chain, window=width, tol=tol, split=linear, on_round=tell)
    stopped = tuple("converged" if ok else "diverged" for ok in found.finite)
    return Sampled(found.states[:, -1], found.states, found.rounds, found.evaluations, stopped)
