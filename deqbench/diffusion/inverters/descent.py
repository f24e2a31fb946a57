"""Gradient descent on x_T by Adam, with any gradient of the chain. Source: DEQ-DDIM, algorithms 1 to 4."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import torch
from annotated_types import Interval
from torch import Tensor

from deqbench.bounds import LARGE, Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import gradient as pull
from deqbench.diffusion.inverted import Update, finite


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    gradient: str = "backprop",
    lr: NonNegative | Annotated[Tensor, Interval(ge=0, le=LARGE)] = 0.01,
    epochs: Count = 400,
    threshold: NonNegative = 0.0,
    warm_start: bool = False,
    **gradient_options: Any,
) -> Iterator[Update]:
    """The x_T of the smallest loss that `epochs` updates have seen, image by image.

    gradient: a file in deqbench/diffusion/gradients/, with gradient_options as its own settings. lr: one rate, or one
    an image (B,). threshold: stop when every image's loss is at most this; 0 runs the whole budget. warm_start: an
    inner solve starts at the states of the epoch before. An image whose loss is no longer finite stops as `diverged`.
    """
    rates = torch.as_tensor(lr, dtype=target.dtype, device=target.device).expand(len(target))
    shape = (-1, *[1] * (target.dim() - 1))
    rates = rates.view(shape)
    # Adam's steps are proportional to its rate and do not depend on where they start: of rate 1 and from 0, each image
    # takes its own rate of them.
    moved = torch.zeros_like(target, requires_grad=True)
    adam = torch.optim.Adam([moved], lr=1.0)
    x_T = chain.x_T.to(target).clone()
    least = torch.full((len(target),), float("inf"), dtype=torch.float64, device=target.device)
    going = finite(x_T)
    states = None
    for epoch in range(epochs + 1):
        now = pull(gradient, replace(chain, x_T=x_T), target, gradient_options, states)
        took: dict[str, Any] = {"calls": going, "nfe": now.nfe, "vjps": now.vjps}
        going = going & now.loss.isfinite() & finite(now.gradient)
        least = torch.where(going & (now.loss < least), now.loss, least)
        took |= {"settled": least <= threshold, "lost": ~going}
        yield Update(x_T=x_T, loss=now.loss, walked=now.rounds is None, **took)
        if epoch == epochs or not going.any() or (least[going] <= threshold).all():
            return
        states = now.states if warm_start else None
        moved.grad = torch.where(going.view(shape), now.gradient, 0)
        adam.step()
        x_T = torch.where(going.view(shape), x_T + rates * moved.detach(), x_T)
        moved.detach().zero_()
