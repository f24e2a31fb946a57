"""ParaDiGMS: Picard sweeps of the drift on a sliding window, tolerance relative to the DDPM variance of each step.

Source: Shih et al., "Parallel sampling of diffusion models" (2023), algorithm 1, and its released code.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Share
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round, of_system
from deqbench.diffusion.schedule import sigmas
from deqbench.solvers.triangular import sweeps


def sample(chain: DDIMChain, *, window: Count | Share = 10, tol: NonNegative = 0.1) -> Iterator[Round]:
    """The chain until no state of the window moves by more than tol * sqrt(D) * sigma, D values a state.

    window: a number of steps (an integer), or a share of the chain's (a fraction up to 1.0). sigma^2 is the variance
    that DDPM adds in the step after the state; where it is 0 (x_0, and the state before it if alpha_bar ends at 1)
    the released code divides by zero, so that these states settle only once they stand still or all before them have
    settled: the same here. Each image slides its own window; in the released code the slowest of a batch holds up
    all.
    """
    variance = sigmas(torch.stack([chain.alpha_bar[:-1], chain.after]), 1.0)[0] ** 2
    drift = torch.ones(chain.steps, dtype=torch.float64)
    settle = stride(variance, tol)
    return of_system(sweeps(chain, window=width(window, chain.steps), tol=tol, split=drift, settle=settle))


def width(window: int | float, steps: int) -> int:
    """Steps of the window, of which a float is a share of the chain's."""
    return max(1, round(window * steps)) if isinstance(window, float) else min(window, steps)


def stride(variance: Tensor, tol: float) -> Callable[[Tensor, Tensor, int], int]:
    """The stop test for `sweeps`: by how many steps its window slides. variance: (N,) float64, of each step.

    The window goes on to the first state that moved too far: that state is settled too, as all before it stood still
    and so were the right input. A state is measured by the variance of the step that follows it.
    """
    limits = tol * torch.cat([variance[1:], variance.new_zeros(1)]).sqrt()

    def settle(old: Tensor, new: Tensor, first: int) -> int:
        move = torch.linalg.vector_norm((new - old).flatten(1), dim=1, dtype=torch.float64)
        still = move <= limits[first : first + len(new)].to(move) * math.sqrt(new[0].numel())
        return min(1 + int(still.long().cumprod(0).sum()), len(new))

    return settle
