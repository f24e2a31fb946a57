"""Gradients of the inversion loss through the chain, one file a way to take it.

A module is named after the gradient and defines `gradient(chain, target, *, states, ...) -> LossAndGrad`: the chain
from its x_T to an x_0, the loss there, and the derivative of the loss with respect to x_T, exact or not. A new file
here is a new choice of `gradient` for the inverter `descent`, and `tests/diffusion/test_gradients.py` tests it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.registry import Family

FAMILY = Family("gradient", "gradient", "diffusion/gradients", given=("states",), hands={"solver": "solvers"})

gradients = FAMILY.names


@dataclass(frozen=True)
class LossAndGrad:
    """The loss of B images and its derivative; all images are independent."""

    loss: Tensor  # (B,) float64, at x0
    gradient: Tensor  # (B, *dims), d loss / d x_T, or what stands for it
    x0: Tensor  # (B, *dims), what the forward solve reached
    nfe: Tensor  # (B,) int64, network evaluations, those made again for the backward pass among them
    vjps: Tensor  # (B,) int64, vector-Jacobian products of the network, an image and timestep each
    rounds: Tensor | None = None  # (B,) int64, of the forward solve where it is one; None: x0 is the walked chain's
    states: Tensor | None = None  # (B, N, *dims), after each step: where the next solve may start
    residual: Tensor | None = None  # (B,) float64, relative, of an adjoint that was solved for


def loss(x0: Tensor, target: Tensor) -> Tensor:
    """(B,) float64: squared distance summed over the values of an image. Source: DEQ-DDIM, eq. 14."""
    return (x0 - target).flatten(1).double().square().sum(1)


def loss_gradient(x0: Tensor, target: Tensor) -> Tensor:
    """(B, *dims): the derivative of `loss` with respect to x0."""
    return 2 * (x0 - target)


@torch.no_grad()
def gradient(
    name: str, chain: DDIMChain, target: Tensor, options: dict[str, Any], states: Tensor | None = None
) -> LossAndGrad:
    """The named gradient at the chain's x_T. target: (B, *dims). states: (B, N, *dims), where an inner solve starts.

    UserError: unknown gradient, or an option it does not know or take.
    """
    return FAMILY.call(name, options, chain, target, states=states)
