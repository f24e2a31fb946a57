"""What an inverter returns, and what it tells as it goes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain

Start = Literal["noise", "encoding", "zeros"]


@dataclass(frozen=True)
class Step:
    """Where an inversion stands, lent to `on_step`: copy what you keep, change nothing."""

    number: int  # updates so far: epochs, or rounds; 0 is the start
    x_T: Tensor  # (B, *dims)
    loss: Tensor | None = None  # (B,) float64, at x_T as the method's own forward solve sees it, where it has one
    walked: bool = False  # whether that is the sequential chain's own


OnStep = Callable[[Step], None]


@dataclass(frozen=True)
class Inverted:
    """The latents of B images, and what they took."""

    x_T: Tensor  # (B, *dims)
    steps: Tensor  # (B,) int64, updates
    nfe: Tensor  # (B,) int64, network evaluations
    vjps: Tensor  # (B,) int64, vector-Jacobian products of the network
    stopped: tuple[str, ...]  # B words: converged, max_iter, diverged


@torch.no_grad()
def encode(chain: DDIMChain, target: Tensor) -> Tensor:
    """x_T (B, *dims) by the chain walked backwards from target (B, *dims), each eps taken at the state already known.

    Source: DDIM, section 5.4, at the chain's own timesteps; noises that it adds are taken off again.
    """
    x = target
    for j in reversed(range(chain.steps)):
        eps = chain.eps_model(x, chain.timesteps[j].expand(len(x)).to(x.device))
        x = chain.unstep(x, eps, j)
    return x


@torch.no_grad()
def reconstruct(chain: DDIMChain, x_T: Tensor) -> Tensor:
    """x_0 (B, *dims) of the sequential chain from x_T: what every reported loss is taken at."""
    for x in replace(chain, x_T=x_T).walk():  # one state at a time: an unpacked list would hold all of them
        x_T = x
    return x_T


def finite(x: Tensor) -> Tensor:
    """(B,) bool, which images are finite throughout."""
    return x.flatten(1).isfinite().all(1)
