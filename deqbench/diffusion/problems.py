"""What chains are made of: trained networks, and analytic mixtures whose noise predictor is known exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from deqbench.data import datasets
from deqbench.data.checkpoints import Network
from deqbench.diffusion import experiments, noise
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.mixtures import GaussianMixture, smooth_centres
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Problem:
    """What a chain is made of: a counted noise predictor and its training chain."""

    eps: NoisePredictor
    schedule: Schedule
    shape: tuple[int, ...]
    grid: str
    device: str
    seed: int

    def chain(self, T: int, images: Sequence[int]) -> DDIMChain:
        """The deterministic chains of the images named."""
        x_T = noise.x_T(self.seed, images, self.shape).to(self.device)
        return DDIMChain.make(self.eps, self.schedule, self.grid, T, x_T)


def of_network(network: Network, grid: str, device: str, max_batch: int, seed: int) -> Problem:
    """The chains of a trained network."""
    eps = experiments.predictor(network, device, max_batch)
    return Problem(eps, network.schedule, network.shape, grid, device, seed)


def of_mixture(name: str, grid: str, device: str, max_batch: int, seed: int) -> Problem:
    """Analytic chains of Gaussian mixtures on DDPM's linear schedule; `name` is one of MIXTURES.

    mixture-64: 500 handwritten digits, deviation 0.2; mixture-3072: 100 smooth random pictures, deviation 0.1.
    """
    from diffusers import DDIMScheduler

    schedule = Schedule.of(DDIMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear"))
    makers: dict[str, Callable[[], tuple[Tensor, float]]] = {
        "mixture-64": lambda: (datasets.build("digits").train[:500].double(), 0.2),
        "mixture-3072": lambda: (smooth_centres(100, (3, 32, 32), seed=0), 0.1),
    }
    centres, deviation = makers[name]()
    alpha_bar = schedule.alpha_bar.to(device)
    eps = NoisePredictor(GaussianMixture(centres.to(device), deviation, alpha_bar), alpha_bar, "epsilon", max_batch)
    return Problem(eps, schedule, tuple(centres.shape[1:]), grid, device, seed)
