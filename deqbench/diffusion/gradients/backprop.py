"""The exact gradient by backpropagation through the chain, step by step. Source: DEQ-DDIM, algorithm 1."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import LossAndGrad, loss, loss_gradient


def gradient(
    chain: DDIMChain, target: Tensor, *, checkpointing: bool = False, states: Tensor | None = None
) -> LossAndGrad:
    """Autograd through all N steps. checkpointing: keep the N states only, and evaluate each step again backwards."""
    with torch.enable_grad():
        x_T = x = chain.x_T.detach().requires_grad_()
        for j in range(chain.steps):
            x = checkpoint(chain.step, x, j, use_reentrant=False) if checkpointing else chain.step(x, j)
        (derivative,) = torch.autograd.grad(x, x_T, loss_gradient(x.detach(), target))
    x0, count = x.detach(), torch.full((len(x),), chain.steps)
    return LossAndGrad(loss(x0, target), derivative, x0, nfe=count * (2 if checkpointing else 1), vjps=count)
