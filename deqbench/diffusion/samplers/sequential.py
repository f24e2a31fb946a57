"""The chain step by step: DDIM at eta 0, DDPM at eta 1. Source: DDIM, eq. 12."""

from collections.abc import Iterator

import torch

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round


def sample(chain: DDIMChain, *, keep_states: bool = False) -> Iterator[Round]:
    """N rounds of one evaluation each. keep_states: return all N states too."""
    kept = []
    for k, x in enumerate(chain.walk(), start=1):
        if keep_states:
            kept.append(x)
        yield Round(x0=x, settled=k == chain.steps, states=(lambda: torch.stack(kept, 1)) if keep_states else None)
