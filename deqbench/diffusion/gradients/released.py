"""The gradient of the released DEQ-DDIM code: the scaled difference of the images, no network Jacobian.

Its damped step is taken at a copy of the solved states that autograd does not connect to x_T, so that x_T enters x_0 by
the linear part of the chain only: d x_0 / d x_T = tau sqrt(alpha_bar_0 / alpha_bar_T). The backward pass that the code
runs through the network for all states ends in tensors that nobody reads; here it is left out.
"""

from typing import Any, Literal

from torch import Tensor

from deqbench.bounds import Count, NonNegative, Share
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import LossAndGrad, loss, loss_gradient
from deqbench.diffusion.gradients.forward import solved


def gradient(
    chain: DDIMChain,
    target: Tensor,
    *,
    tau: Share = 0.1,
    forward: Literal["sequential", "joint", "secant"] = "joint",
    solver: str = "anderson",
    tol: NonNegative = 1e-2,
    max_iter: Count = 15,
    start: Literal["x_T", "zeros", "first"] = "x_T",
    states: Tensor | None = None,
    **solver_options: Any,
) -> LossAndGrad:
    """tau sqrt(alpha_bar_0 / alpha_bar_T) dL / dx_0, at x_0 mixed from the solve's last iterate and evaluation by tau.

    forward, solver, tol, max_iter, start, solver_options: see deqbench.diffusion.gradients.forward. The code's own are
    the preset inversion-released; its solves all start at the first x_T: start "first" and a descent with warm_start.
    """
    settings = {"solver": solver, "tol": tol, "max_iter": max_iter, "start": start, **solver_options}
    end = solved(chain, forward, states, whole=False, **settings)
    x0 = end.damped(tau)[:, -1]
    # The product of the ratios is sqrt(alpha_bar_0 / alpha_bar_T) wherever each step sets out where the last landed.
    scaled = tau * float(chain.ratio.prod()) * loss_gradient(x0, target)
    return LossAndGrad(loss(x0, target), scaled, x0, end.nfe, end.nfe.new_zeros(len(x0)), end.rounds, end.next_start)
