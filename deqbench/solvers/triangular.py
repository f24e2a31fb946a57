"""Systems x_{j+1} = Phi_j(x_j) with x_0 given, whose N later states are the unknowns.

Any such system is also the fixed point of a sweep that treats a linear part l_j of each step exactly,
x'_{j+1} = l_j x'_j + Phi_j(x_j) - l_j x_j: the solution is the same whichever l_j is chosen, the number of rounds is
not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deqbench.solvers.rounds import Round


class TriangularSystem(Protocol):
    """B systems of N steps. Windows, frozen prefixes and splits need no more of a system than this."""

    @property
    def start(self) -> Tensor:
        """x_0: (B, *dims)."""

    @property
    def steps(self) -> int:
        """N."""

    def step_terms(self, states: Tensor, indices: Tensor) -> Tensor:
        """The costly part of step `indices[i]` at `states[i]`: (M, *dims), (M,) -> (M, *dims).

        It may be kept until after the next call, so that call must not write over it.
        """

    def combine(
        self, base: Tensor, states: Tensor, terms: Tensor, first: int, split: Tensor | None, samples: Tensor | None
    ) -> Tensor:
        """The states after steps first..first+M-1, swept from the known state `base` (b, *dims).

        states, terms: (b, M, *dims), the current states before those steps and their terms. split: (N,) the l_j, or
        those of elements in the window, broadcast to (b, M, *dims), or None for the system's own. samples: (b,) which
        of the B systems these are, None for all. -> (b, M, *dims).
        """


@dataclass(frozen=True, kw_only=True)
class SystemRound(Round):
    """One sweep of a triangular system."""

    reached: Tensor  # (b, *dims), the last state of those that took part
    states: Callable[[], Tensor]  # -> (B, N, *dims), all states so far


def sweeps(
    system: TriangularSystem,
    *,
    window: int,
    tol: float,
    split: Tensor | None = None,
    settle: Callable[[Tensor, Tensor, int], int] | None = None,
) -> Iterator[SystemRound]:
    """Solves x_{j+1} = Phi_j(x_j) by Picard sweeps on a window that slides past settled states, all started at x_0.

    A round evaluates one window of steps per sample in one batch and sweeps it from the last settled state. A state
    settles when every state before it has and its own last move was at most `tol` of its length; the first of a window
    always does, since its input is settled, so at most N rounds run and no state is evaluated that can no longer
    change. tol 0: the sequential result.

    split: (N,) the linear part treated exactly, None for the system's own. settle(old, new, first): another stop test
    than tol's, of the states (M, *dims) after the steps first..first+M-1 before and after the sweep: how many of them
    are settled, at least 1. ValueError: window < 1 or tol < 0. Source: ParaDiGMS, algorithm 1.
    """
    if window < 1 or tol < 0:
        raise ValueError(f"expected window >= 1 and tol >= 0; found window {window} and tol {tol}")
    start, steps = system.start, system.steps
    states = torch.cat([start[:, None], start[:, None].expand(-1, steps, *start.shape[1:])], 1)  # (B, N + 1, *dims)
    settled = [0] * len(start)  # states[b, : settled[b] + 1] are final
    active = list(range(len(start)))
    while active:
        spans = [(b, settled[b], min(settled[b] + window, steps)) for b in active]
        inputs = torch.cat([states[b, low:high] for b, low, high in spans])
        indices = torch.cat([torch.arange(low, high) for _, low, high in spans])
        counts = [high - low for _, low, high in spans]
        terms = system.step_terms(inputs, indices).split(counts)
        for (b, low, high), part in zip(spans, terms, strict=True):
            settled[b] += _advance(system, states, part, (b, low, high), tol, split, settle)
        yield SystemRound(
            samples=torch.tensor(active),
            settled=np.array([settled[b] == steps for b in active]),
            nfe=torch.tensor(counts),
            reached=states[active, -1],
            states=lambda: states[:, 1:],
        )
        active = [b for b in active if settled[b] < steps]


def _advance(
    system: TriangularSystem,
    states: Tensor,
    terms: Tensor,
    span: tuple[int, int, int],
    tol: float,
    split: Tensor | None,
    settle: Callable[[Tensor, Tensor, int], int] | None,
) -> int:
    """Sweeps one sample's window in place; how many of its states settled."""
    b, low, high = span
    new = system.combine(
        states[b : b + 1, low], states[b : b + 1, low:high], terms[None], low, split, torch.tensor([b])
    )[0]
    old = states[b, low + 1 : high + 1]
    settled = _still(old, new, tol) if settle is None else settle(old, new, low)
    states[b, low + 1 : high + 1] = new
    ahead = slice(high + 1, high + 1 + len(new))
    states[b, ahead] = new[-1]  # what the window may reach next starts at the newest state
    return settled


def _still(old: Tensor, new: Tensor, tol: float) -> int:
    """The number of states, from the first on, that moved by at most tol of their length."""
    move = (new - old).flatten(1).norm(dim=1)
    still = move <= tol * new.flatten(1).norm(dim=1)
    still[0] = True  # computed from a settled state
    return int(still.long().cumprod(0).sum())
