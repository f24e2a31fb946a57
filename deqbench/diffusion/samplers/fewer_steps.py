"""Sequential DDIM with fewer steps of the same chain: cheap, and another result. Source: DDIM, section 4.2."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch

from deqbench.bounds import Count
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers import sequential

OTHER_STEPS = {
    "result of the chain itself": "it replaces the chain's steps by fewer ones",
    "eta > 0": "its steps add no noise",
    "clip_sample": "its steps are not those that x_0 is clipped for",
}
CANNOT = OTHER_STEPS
Spacing = Literal["uniform", "quadratic"]


def sample(chain: DDIMChain, *, steps: Count = 20, spacing: Spacing = "uniform") -> Iterator[Round]:
    """A round of one evaluation for each of `steps` steps, chosen as by `thinned`."""
    return sequential.sample(thinned(chain, steps, spacing))


def thinned(chain: DDIMChain, steps: int, spacing: Spacing = "uniform") -> DDIMChain:
    """At most `steps` of the chain's timesteps, its first and its last among them; a shorter chain whole.

    It starts at the same x_T and ends at the same alpha_bar. spacing: of their places in the chain, even or growing
    with the square away from the last (which serves the solvers of higher order best); repeats are dropped.
    """
    share = torch.linspace(1, 0, min(steps, chain.steps), dtype=torch.float64) ** (2 if spacing == "quadratic" else 1)
    kept = ((chain.steps - 1) * (1 - share)).round().long().unique()
    alpha_bar = torch.cat([chain.alpha_bar[kept], chain.alpha_bar[-1:]])
    none = chain.sigma.new_zeros(len(kept))
    return replace(
        chain, timesteps=chain.timesteps[kept], alpha_bar=alpha_bar, sigma=none, noise_scale=none, alpha_bar_prev=None
    )
