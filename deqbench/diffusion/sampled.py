"""What a sampler returns."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sampled:
    """B images, and what they took."""

    x0: Tensor  # (B, *dims)
    states: Tensor | None  # (B, N, *dims) the states after each step; None where they were not kept
    rounds: Tensor  # (B,) int64, batched network calls, at most one sample per image and timestep in each
    nfe: Tensor  # (B,) int64, network evaluations
    stopped: tuple[str, ...]  # B words: converged, max_iter, diverged
