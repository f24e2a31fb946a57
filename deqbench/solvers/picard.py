"""Picard's iteration: repeat the map."""

from dataclasses import dataclass

import torch
from torch import Tensor

from deqbench.bounds import Share
from deqbench.registry import hold


@dataclass(frozen=True, kw_only=True)
class Picard:
    """z <- z + damping * (f(z) - z). T rounds solve a strictly triangular system of T states exactly if damping is 1.

    ValueError: damping outside (0, 1].
    """

    damping: Share = 1.0

    def __post_init__(self) -> None:
        hold(self)

    def start(self, z0: Tensor) -> "Picard":
        """Itself: there is no past to keep."""
        return self

    def select(self, keep: Tensor) -> None:
        """Nothing to forget."""

    def step(self, state: Tensor, fz: Tensor, residual: Tensor) -> Tensor:
        """The next state, (B, *dims)."""
        return fz.clone() if self.damping == 1 else torch.add(state, residual, alpha=self.damping)


SOLVER = Picard
