"""The updates that an inverter yields, and the latents that come of them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.solvers import rounds
from deqbench.solvers.rounds import Result, Run

Start = Literal["noise", "encoding", "zeros"]


@dataclass(frozen=True, kw_only=True)
class Update(rounds.Round):
    """The state of an inversion of B images, lent to who looks on: copy what you keep, change nothing.

    `calls` are updates: epochs, or rounds. The first one yielded is the start.
    """

    x_T: Tensor  # (B, *dims)
    nfe: Any = 0  # (b,) int64, network evaluations since the last one yielded
    vjps: Any = 0  # (b,) int64, vector-Jacobian products of the network alike
    loss: Tensor | None = None  # (B,) float64, at x_T as the method's own forward solve sees it, where it has one
    walked: bool = False  # whether that is the sequential chain's own


OnUpdate = Callable[[Update], object]  # True, or a Stop, ends the run


@dataclass(frozen=True, kw_only=True)
class Inversion(Result):
    """The latents of B images, and what they took."""

    x_T: Tensor  # (B, *dims)
    rounds: Tensor  # (B,) int64, updates
    nfe: Tensor  # (B,) int64, network evaluations
    vjps: Tensor  # (B,) int64, vector-Jacobian products of the network


def inverted(
    chain: DDIMChain,
    target: Tensor,
    made: Iterable[Update],
    on_update: OnUpdate | None = None,
    max_seconds: float | None = None,
) -> Inversion:
    """The latents of an inverter's updates, all of them or until on_update or the time ends them.

    Each image's are those of the least loss told; the last ones told where the method tells no loss.
    """
    run = Run(made, len(target), on_round=on_update, max_seconds=max_seconds, from_start=True)
    x_T = chain.x_T.to(target).clone()
    least = x_T.new_full((len(target),), float("inf"), dtype=torch.float64)
    vjps = torch.zeros(len(target), dtype=torch.int64)
    for update in run:
        vjps[slice(None) if update.samples is None else update.samples.cpu()] += torch.as_tensor(update.vjps)
        if update.loss is None:
            x_T = update.x_T
            continue
        better = (update.loss < least) & ~torch.as_tensor(update.lost)
        x_T[better], least = update.x_T[better], torch.where(better, update.loss, least)
    return Inversion(x_T=x_T, rounds=run.rounds, nfe=run.nfe, vjps=vjps, stopped=run.stopped())


@torch.no_grad()
def encode(chain: DDIMChain, target: Tensor) -> Tensor:
    """x_T (B, *dims) by the chain walked backwards from target (B, *dims), see DDIMChain.encode."""
    return last(chain.encode(target))


@torch.no_grad()
def reconstruct(chain: DDIMChain, x_T: Tensor) -> Tensor:
    """x_0 (B, *dims) of the sequential chain from x_T: what every reported loss is taken at."""
    return last(replace(chain, x_T=x_T).walk())


def last(states: Iterator[Tensor]) -> Tensor:
    """The last of one state or more, held one at a time: an unpacked list would hold all of them."""
    return deque(states, maxlen=1)[0]


def finite(x: Tensor) -> Tensor:
    """(B,) bool, which images are finite throughout."""
    return x.flatten(1).isfinite().all(1)
