"""Heun's second-order steps on the probability-flow ODE: fewer steps, and another result than the chain's.

In y = x / sqrt(alpha_bar) over sigma = sqrt((1 - alpha_bar) / alpha_bar) the ODE is dy/dsigma = eps, and a DDIM step is
Euler's. Source: DDIM, eq. 14; Karras et al., "Elucidating the design space" (2022), algorithm 1.
"""

import torch
from torch import Tensor

from deqbench.bounds import Count
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled
from deqbench.diffusion.samplers.fewer_steps import OTHER_STEPS, Spacing, thinned

CANNOT = OTHER_STEPS


def sample(
    chain: DDIMChain, *, steps: Count = 10, spacing: Spacing = "uniform", on_round: OnRound | None = None
) -> Sampled:
    """2 * steps - 1 rounds of one evaluation: the last step, which ends where no network is, is Euler's.

    steps, spacing: on the chain's own timesteps, as in `thinned`. ValueError: as there.
    """
    grid = thinned(chain, steps, spacing)
    root = grid.alpha_bar.sqrt()
    sigma = ((1 - grid.alpha_bar) / grid.alpha_bar).sqrt()
    rounds = 0

    def slope(y: Tensor, j: int) -> Tensor:
        return grid.eps_model(float(root[j]) * y, grid.timesteps[j].expand(len(y)).to(y.device))

    def tell(y: Tensor, j: int) -> Tensor:
        nonlocal rounds
        rounds += 1
        x = float(root[j]) * y
        if on_round:
            on_round(Round(rounds, torch.arange(len(x)), x, torch.ones(len(x), dtype=torch.int64)))
        return x

    y = grid.x_T / float(root[0])
    for j in range(grid.steps):
        h = float(sigma[j + 1] - sigma[j])
        before = slope(y, j)
        ahead = y + h * before
        x = tell(ahead, j + 1)
        if j + 1 < grid.steps:
            y = y + 0.5 * h * (before + slope(ahead, j + 1))
            x = tell(y, j + 1)
    count = torch.full((len(x),), rounds)
    stopped = tuple("converged" if ok else "diverged" for ok in x.flatten(1).isfinite().all(1))
    return Sampled(x, None, count, count.clone(), stopped)
