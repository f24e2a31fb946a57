"""The chain step by step: DDIM at eta 0, DDPM at eta 1. Source: DDIM, eq. 12."""

import torch

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled


def sample(chain: DDIMChain, *, keep_states: bool = False, on_round: OnRound | None = None) -> Sampled:
    """N rounds of one evaluation each. keep_states: return all N states too."""
    kept = []
    x = chain.x_T
    for k, x in enumerate(chain.walk(), start=1):
        if keep_states:
            kept.append(x)
        if on_round:
            on_round(Round(k, torch.arange(len(x)), x, torch.ones(len(x), dtype=torch.int64)))
    count = torch.full((len(x),), chain.steps)
    stopped = tuple("converged" if ok else "diverged" for ok in x.flatten(1).isfinite().all(1))
    return Sampled(x, torch.stack(kept, 1) if keep_states else None, count, count.clone(), stopped)
