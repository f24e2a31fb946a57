"""The paper's equations 16 and 19 of the inversion gradient, as printed and as they must read."""

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import gradient, loss_gradient
from deqbench.diffusion.gradients.forward import carried, leaf_and_first

STEP = 1e-4  # of the difference quotient; float64 leaves 1e-8 of it


@torch.no_grad()
def misprints(chain: DDIMChain, target: Tensor) -> dict[str, Tensor]:
    """Gradients (B, *dims) by each equation at the chain's own states, in float64: chain and target must be.

    With z = h~(z; x_T), J_g = J - I for J = dh~/dz, and g = dL/dz, which is zero but for the last state:

    eq-16-printed  -(dh~/dx_T)^T M^T g with M = I, which is to stand for J_g^-1; but J_g is about -I.
    eq-16-right    the same with M = -I: the 1-step gradient.
    eq-19-printed  v of J_g^-1 v + g = 0, so v = -J_g g = g - J g: no linear system is solved, and J g = 0, for no state
                   depends on the last one. It is the 1-step gradient again.
    eq-19-untransposed  v of J_g v + g = 0: J g = 0 leaves v = g here too.
    eq-19-right    v of J_g^T v + g = 0.

    Source: DEQ-DDIM, section 4.3 and appendix C. ValueError: other dtypes.
    """
    if chain.x_T.dtype != torch.float64:
        raise ValueError(f"x_T: expected float64, for difference quotients; found {chain.x_T.dtype}")
    z = torch.stack(list(chain.walk()), 1)
    x_T, first = leaf_and_first(chain)
    g = torch.zeros_like(z)
    g[:, -1] = loss_gradient(z[:, -1], target)

    def pulled(v: Tensor) -> Tensor:
        """(dh~/dx_T)^T v."""
        return torch.autograd.grad(first, x_T, carried(chain, v), retain_graph=True)[0]

    untransposed = g
    for _ in range(chain.steps):  # enough: the states after a step depend on those before it
        before, untransposed = untransposed, g + pushed(chain, z, untransposed)
        if torch.equal(before, untransposed):
            break
    transposed = {"adjoint": "neumann", "adjoint_tol": 0.0, "adjoint_max_iter": chain.steps}
    return {
        "eq-16-printed": -pulled(g),
        "eq-16-right": pulled(g),
        "eq-19-printed": pulled(g - pushed(chain, z, g)),
        "eq-19-untransposed": pulled(untransposed),
        "eq-19-right": gradient("implicit", chain, target, transposed).gradient,
    }


def pushed(chain: DDIMChain, z: Tensor, v: Tensor) -> Tensor:
    """J v at states z by central differences, all (B, N, *dims) float64."""
    length = v.flatten(1).norm(dim=1).clamp_min(1e-300).view(-1, *[1] * (v.ndim - 1))
    step = STEP * v / length
    return (chain(z + step) - chain(z - step)) * (length / (2 * STEP))
