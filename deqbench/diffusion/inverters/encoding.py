"""DDIM encoding: the chain walked backwards, one evaluation a step. Source: DDIM, section 5.4."""

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import Inverted, OnStep, Step, encode, finite


def invert(chain: DDIMChain, target: Tensor, *, on_step: OnStep | None = None) -> Inverted:
    """The x_T that the chain's reverse ends in; chain.x_T plays no part. It has nothing to converge to: `max_iter`."""
    if on_step:
        on_step(Step(0, chain.x_T.to(target)))
    x_T = encode(chain, target)
    if on_step:
        on_step(Step(chain.steps, x_T))
    count = torch.full((len(target),), chain.steps)
    stopped = tuple("max_iter" if ok else "diverged" for ok in finite(x_T).tolist())
    return Inverted(x_T, count, count, torch.zeros_like(count), stopped)
