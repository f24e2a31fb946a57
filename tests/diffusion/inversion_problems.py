"""Chains whose networks count, their targets, and gradients of the loss by other ways than the package's."""

from dataclasses import replace

import torch

from deqbench.diffusion.network import NoisePredictor
from tests.diffusion.chains import SHAPE, make

TAU = 0.3
CONVERGED = {"forward": "joint", "solver": "picard", "tol": 0.0, "max_iter": 40}
ROUGH = {"forward": "joint", "solver": "anderson", "m": 3, "tol": 0.0, "max_iter": 4}
ADJOINTS = ("back-substitution", "gmres", "broyden", "neumann")


def problem(steps=12, **options):
    """A chain of two images whose network counts, and a target."""
    chain, eps, _, made = make(steps, grid="uniform-paper", **options)
    predictor = NoisePredictor(eps, made.alphas_cumprod, max_batch=17)
    target = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7), dtype=chain.x_T.dtype)
    return replace(chain, eps_model=predictor), target, predictor


def unrolled(chain, target):
    """The gradient by plain autograd through every step of the sequential chain, written apart from `backprop`."""
    x_T = chain.x_T.clone().requires_grad_()
    *_, x0 = replace(chain, x_T=x_T).walk()
    ((x0 - target) ** 2).sum().backward()
    return x_T.grad


def differences(function, x, directions=6, step=1e-5):
    """Central differences of a function of x along random directions, and the directions."""
    generator = torch.Generator().manual_seed(11)
    for _ in range(directions):
        u = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        yield u, float((function(x + step * u) - function(x - step * u)).sum() / (2 * step))
