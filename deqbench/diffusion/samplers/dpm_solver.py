"""DPM-Solver++ of diffusers: few multistep steps, and another result than the chain's.

Source: Lu et al., "DPM-Solver++" (2022), algorithm 2; diffusers' DPMSolverMultistepScheduler at its own settings.
"""

from collections.abc import Iterator
from typing import Literal

from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from deqbench.bounds import Count
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers.fewer_steps import OTHER_STEPS, Spacing, thinned

CANNOT = OTHER_STEPS


def sample(
    chain: DDIMChain, *, steps: Count = 20, order: Literal[2, 3] = 2, spacing: Spacing = "uniform"
) -> Iterator[Round]:
    """`steps` rounds of one evaluation. The scheduler computes in float32 whatever the chain's dtype.

    steps, spacing: on the chain's own timesteps, as in `thinned`.
    """
    grid = thinned(chain, steps, spacing)
    solver = scheduler(grid.alpha_bar, order)
    x = grid.x_T
    for k, t in enumerate(solver.timesteps):
        x = solver.step(grid.eps(x, k), t, x).prev_sample.to(chain.x_T.dtype)
        yield Round(x0=x, settled=k + 1 == grid.steps)


def scheduler(alpha_bar: Tensor, order: int) -> DPMSolverMultistepScheduler:
    """Diffusers' scheduler for which the steps of the grid, (N + 1,) float64, are the training chain and all are taken.

    So any grid serves, and no timestep is rounded to one of diffusers' own spacings.
    """
    table = alpha_bar[:-1].flip(0)
    made = DPMSolverMultistepScheduler(num_train_timesteps=len(table), solver_order=order)
    made.alphas_cumprod = table
    made.set_timesteps(timesteps=list(range(len(table)))[::-1])
    made.sigmas[-1] = ((1 - alpha_bar[-1]) / alpha_bar[-1]).sqrt()
    return made
