"""Heun's second-order steps on the probability-flow ODE: fewer steps, and another result than the chain's.

In y = x / sqrt(alpha_bar) over sigma = sqrt((1 - alpha_bar) / alpha_bar) the ODE is dy/dsigma = eps, and a DDIM step is
Euler's. Source: DDIM, eq. 14; Karras et al., "Elucidating the design space" (2022), algorithm 1.
"""

from collections.abc import Iterator

from torch import Tensor

from deqbench.bounds import Count
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers.fewer_steps import OTHER_STEPS, Spacing, thinned

CANNOT = OTHER_STEPS


def sample(chain: DDIMChain, *, steps: Count = 10, spacing: Spacing = "uniform") -> Iterator[Round]:
    """2 * steps - 1 rounds of one evaluation: the last step, which ends where no network is, is Euler's.

    steps, spacing: on the chain's own timesteps, as in `thinned`.
    """
    grid = thinned(chain, steps, spacing)
    root = grid.alpha_bar.sqrt()
    sigma = ((1 - grid.alpha_bar) / grid.alpha_bar).sqrt()

    def slope(y: Tensor, j: int) -> Tensor:
        return grid.eps(float(root[j]) * y, j)

    y = grid.x_T / float(root[0])
    for j in range(grid.steps):
        h = float(sigma[j + 1] - sigma[j])
        before = slope(y, j)
        ahead = y + h * before
        last = j + 1 == grid.steps
        yield Round(x0=float(root[j + 1]) * ahead, settled=last)
        if not last:
            y = y + 0.5 * h * (before + slope(ahead, j + 1))
            yield Round(x0=float(root[j + 1]) * y)
