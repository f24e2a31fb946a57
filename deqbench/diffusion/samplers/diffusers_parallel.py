"""ParaDiGMS by diffusers' own parallel scheduler: the drift of each step is its `batch_step_no_noise`.

Source: Shih et al., "Parallel sampling of diffusion models" (2023), algorithm 1; diffusers' DDIMParallelScheduler.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import DDIMParallelScheduler
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Share
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OfChain, Round, of_system
from deqbench.diffusion.samplers.paradigms import stride, width
from deqbench.solvers.triangular import sweeps

CANNOT = {
    "eta > 0": "diffusers' DDIMParallelScheduler takes no other",
    "grid other than uniform-released": "diffusers' scheduler walks multiples of one stride only",
}


def sample(chain: DDIMChain, *, window: Count | Share = 10, tol: NonNegative = 0.1) -> Iterator[Round]:
    """As the sampler `paradigms`, stepped by diffusers.

    batch_step_no_noise always lands at alpha_bar 1, so that on a chain that ends below 1 (set_alpha_to_one=False) x_0
    is another than the sequential one, in diffusers too. ValueError: timesteps other than all multiples of one
    stride (the grid uniform-released), the only ones that this scheduler walks.
    """
    made = scheduler(chain)
    variance = torch.stack([made._get_variance(int(t)) for t in chain.timesteps])
    drifts = _Stepped(chain, made)
    return of_system(sweeps(drifts, window=width(window, chain.steps), tol=tol, settle=stride(variance, tol)))


def scheduler(chain: DDIMChain) -> DDIMParallelScheduler:
    """Diffusers' scheduler of the chain: alpha_bar only at the chain's timesteps, the only ones that it reads.

    ValueError: timesteps other than all multiples of one stride.
    """
    first, steps = int(chain.timesteps[0]), chain.steps
    apart = first // (steps - 1) if steps > 1 else 1
    train_steps = apart * steps
    made = DDIMParallelScheduler(num_train_timesteps=train_steps, clip_sample=False)
    made.alphas_cumprod = torch.ones(train_steps, dtype=torch.float64)
    made.alphas_cumprod[chain.timesteps] = chain.alpha_bar[:-1]
    made.final_alpha_cumprod = chain.alpha_bar[-1]
    made.set_timesteps(steps)
    return made


@dataclass(frozen=True)
class _Stepped(OfChain):
    """The chain as a triangular system whose costly part is the step itself."""

    scheduler: DDIMParallelScheduler

    def step_terms(self, states: Tensor, indices: Tensor) -> Tensor:
        """The drift of each step: where it leads less where it starts."""
        t = self.chain.timesteps[indices].to(states.device)
        after = self.scheduler.batch_step_no_noise(self.chain.eps_model(states, t), t, states)
        return after.to(states.dtype) - states

    def combine(
        self, base: Tensor, states: Tensor, terms: Tensor, first: int, split: Tensor | None, samples: Tensor | None
    ) -> Tensor:
        """The base and the drifts summed up (always the split 1)."""
        return (base[:, None] + terms.cumsum(1, dtype=torch.float64)).to(terms.dtype)
