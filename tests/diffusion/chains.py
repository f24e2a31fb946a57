"""Chains of toy networks that diffusers walks too, and how far states are from others."""

import torch

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.schedule import Schedule
from tests import oracles

SHAPE = (2, 3, 6, 6)


def make(steps, *, eta=0.0, variance="posterior", dtype=torch.float64, grid="uniform-released", double=True, **options):
    """A chain of two toy images, its network, its noise and diffusers' scheduler of the same tables."""
    generator = torch.Generator().manual_seed(1)
    made = oracles.scheduler(double=double, **options)
    eps = oracles.ToyEps(3, dtype=dtype)
    x_T = torch.randn(*SHAPE, generator=generator, dtype=torch.float64).to(dtype)
    noise = (
        torch.randn(SHAPE[0], steps, *SHAPE[1:], generator=generator, dtype=torch.float64).to(dtype) if eta else None
    )
    chain = DDIMChain.make(eps, Schedule.of(made), grid, steps, x_T, eta=eta, variance=variance, noise=noise)
    return chain, eps, noise, made


def relative(states, exact):
    return float((states - exact).norm() / exact.norm())
