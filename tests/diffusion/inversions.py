"""Images of a mixture of Gaussians and the starts that they were sampled from, and settings of inverters."""

import torch

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import reconstruct
from deqbench.diffusion.mixtures import GaussianMixture, smooth_centres
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.schedule import Schedule
from tests import oracles

SHORT = {"descent": {"epochs": 3}, "lbfgs": {"epochs": 2}, "sweeps": {"max_iter": 40, "tol": 1e-3}}
SOLVING = ("backward-euler", "joint-backward", "sweeps")
TIGHT = {
    "backward-euler": {"tol": 1e-12, "max_iter": 100, "m": 20},
    "joint-backward": {"tol": 1e-12, "max_iter": 200, "m": 20},
    "sweeps": {"tol": 1e-16, "max_iter": 600},
}


def case(steps=6, *, eta=0.0, images=3, deviation=0.4, grid="uniform-paper"):
    """Chains of a mixture of Gaussians in float64, images that they lead to, and their counted predictor."""
    made = oracles.scheduler()
    schedule = Schedule.of(made)
    mixture = GaussianMixture(smooth_centres(3, (1, 4, 4), 0), deviation, schedule.alpha_bar)
    predictor = NoisePredictor(mixture, schedule.alpha_bar)
    random = torch.Generator().manual_seed(2)
    start, end = (torch.randn(images, 1, 4, 4, generator=random, dtype=torch.float64) for _ in range(2))
    noise = torch.randn(images, steps, 1, 4, 4, generator=random, dtype=torch.float64) if eta else None
    chain = DDIMChain.make(predictor, schedule, grid, steps, start, eta=eta, noise=noise)
    target = reconstruct(chain, end)
    predictor.evaluations = 0
    return chain, target, end, predictor
