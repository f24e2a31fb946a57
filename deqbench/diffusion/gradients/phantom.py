"""The phantom gradient: a few damped steps of the joint map, differentiated at a solved chain.

Source: DEQ-DDIM, eqs. 17 and 18 and algorithm 3; Geng et al., "On training implicit models" (2021).
"""

from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Share
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import LossAndGrad, loss, loss_gradient
from deqbench.diffusion.gradients.forward import carried, leaf_and_first, solved
from deqbench.diffusion.gradients.jacobian import Linearised


def gradient(
    chain: DDIMChain,
    target: Tensor,
    *,
    steps: Count = 1,
    tau: Share = 0.1,
    forward: Literal["sequential", "joint", "secant"] = "sequential",
    solver: str = "anderson",
    tol: NonNegative = 1e-3,
    max_iter: Count = 15,
    start: Literal["x_T", "zeros", "first"] = "x_T",
    states: Tensor | None = None,
    **solver_options: Any,
) -> LossAndGrad:
    """The derivative of the loss after `steps` steps z <- tau h~(z; x_T) + (1 - tau) z from states held fixed.

    One step asks for one vector-Jacobian product of the network, at x_T, whatever N: states enter x_0 as constants.
    Each further step carries the weights of all states back by one product with the joint Jacobian: N - 1 of the
    network. forward, solver, tol, max_iter, start, solver_options: see deqbench.diffusion.gradients.forward. A joint
    solve's last evaluation serves as the h~(z) of the first step; the states of a walk stay where they are.
    """
    x_T, first = leaf_and_first(chain)
    settings = {"solver": solver, "tol": tol, "max_iter": max_iter, "start": start, **solver_options}
    end = solved(chain, forward, states, first=first.detach(), whole=steps > 1, **settings)
    nfe, z = end.nfe + 1, end.damped(tau)
    maps: list[Linearised] = []  # around the states that steps 2, 3, ... start from
    for _ in range(steps - 1):
        if end.iterate is None and maps:
            maps.append(maps[-1])
            continue
        maps.append(Linearised(chain, z))
        nfe = nfe + maps[-1].evaluations
        if end.iterate is not None:
            z = torch.lerp(z, maps[-1].value(first.detach()), tau)
    x0 = z[:, -1]
    weights = torch.zeros_like(z)
    weights[:, -1] = loss_gradient(x0, target)
    entered = tau * weights  # what each step took from x_T, by state
    for step in reversed(maps):
        weights = torch.lerp(weights, step.transposed(weights), tau)
        entered += tau * weights
    (derivative,) = torch.autograd.grad(first, x_T, carried(chain, entered))
    vjps = torch.full((len(x0),), 1 + (steps - 1) * (chain.steps - 1))
    return LossAndGrad(loss(x0, target), derivative, x0, nfe, vjps, end.rounds, end.next_start)
