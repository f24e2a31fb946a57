"""Chains of trained networks, and analytic ones of mixtures whose noise predictor is known exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deqbench.data import datasets
from deqbench.data.checkpoints import Network
from deqbench.diffusion import noise
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.mixtures import GaussianMixture, smooth_centres
from deqbench.diffusion.moments import Moments
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.schedule import Schedule
from deqbench.experiments.deq_ddim.chains import predictor


@dataclass(frozen=True)
class Problem:
    """A counted noise predictor and its training chain, which chains are made of."""

    eps: NoisePredictor
    schedule: Schedule
    shape: tuple[int, ...]
    grid: str
    device: str
    seed: int
    moments: Moments | None = None  # of data apart from those measured

    def chain(self, T: int, images: Sequence[int]) -> DDIMChain:
        """The deterministic chains of the images named."""
        x_T = noise.x_T(self.seed, images, self.shape).to(self.device)
        return replace(DDIMChain.make(self.eps, self.schedule, self.grid, T, x_T), moments=self.moments)


def of_network(
    network: Network, grid: str, device: str, max_batch: int, seed: int, train: Tensor | None = None
) -> Problem:
    """The chains of a trained network. train: (n, C, H, W), the images whose moments splits may use."""
    eps = predictor(network, device, max_batch)
    moments = None if train is None else Moments.of(train)
    return Problem(eps, network.schedule, network.shape, grid, device, seed, moments)


def of_mixture(name: str, grid: str, device: str, max_batch: int, seed: int) -> Problem:
    """Analytic chains of Gaussian mixtures on DDPM's linear schedule; `name` is one of MIXTURES.

    mixture-64: 500 handwritten digits, deviation 0.2; mixture-3072: 100 smooth random pictures, deviation 0.1. Their
    moments are those of samples around other digits of the training split, or other pictures.
    """
    from diffusers import DDIMScheduler

    schedule = Schedule.of(DDIMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear"))
    makers: dict[str, Callable[[], tuple[Tensor, Tensor, float]]] = {"mixture-64": _digits, "mixture-3072": _pictures}
    centres, others, deviation = makers[name]()
    drawn = torch.randn(others.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alpha_bar = schedule.alpha_bar.to(device)
    eps = NoisePredictor(GaussianMixture(centres.to(device), deviation, alpha_bar), alpha_bar, "epsilon", max_batch)
    moments = Moments.of(others + deviation * drawn)
    return Problem(eps, schedule, tuple(centres.shape[1:]), grid, device, seed, moments)


def _digits() -> tuple[Tensor, Tensor, float]:
    """Centres, others like them, and the deviation."""
    train = datasets.build("digits").train.double()
    return train[:500], train[500:], 0.2


def _pictures() -> tuple[Tensor, Tensor, float]:
    shape = (3, 32, 32)
    return smooth_centres(100, shape, seed=0), smooth_centres(400, shape, seed=1), 0.1
