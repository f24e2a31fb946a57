"""The chains that the paper's experiments measure: of which network, method, timesteps and images."""

from collections.abc import Iterator, Sequence

from deqbench.data.checkpoints import Network
from deqbench.diffusion import noise
from deqbench.diffusion.chain import DDIMChain, EpsModel
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.schedule import timesteps
from deqbench.experiments.deq_ddim.shared import Method

GROUP = 4096  # states solved together: 4096 / T chains
CALIBRATION = 10_000  # the first image of those that settings are chosen on, none of which is measured


def predictor(network: Network, device: str, max_batch: int) -> NoisePredictor:
    """The counted noise predictor of a network on a device."""
    kind = network.scheduler.config.prediction_type
    return NoisePredictor(network.net.to(device), network.schedule.alpha_bar, kind, max_batch)


def chain(
    network: Network, eps: EpsModel, method: Method, grid: str, T: int, seed: int, images: Sequence[int]
) -> DDIMChain:
    """The chains of the images named, with their own starting points and noises."""
    device = next(network.net.parameters()).device
    steps = len(timesteps(grid, T, len(network.schedule.alpha_bar)))
    drawn = noise.step_noise(seed, images, steps, network.shape).to(device) if method.eta else None
    x_T = noise.x_T(seed, images, network.shape).to(device)
    return DDIMChain.make(eps, network.schedule, grid, T, x_T, eta=method.eta, variance=method.variance, noise=drawn)


def groups(images: range, T: int) -> Iterator[range]:
    """The images in groups that are solved together."""
    size = max(1, GROUP // T)
    for start in range(images.start, images.stop, size):
        yield range(start, min(start + size, images.stop))


def at_each(methods: dict[str, Method], eta: list[float]) -> list[dict[str, Method]]:
    """The methods walked at each eta, those with an eta of their own at that only; as they are where eta is empty."""
    return [
        {name: method.model_copy(update={"eta": value}) for name, method in methods.items() if method.eta in (0, value)}
        for value in eta
    ] or [methods]


def same_chain(method: Method, other: Method) -> bool:
    """Whether both should end in the same images: the same chain, walked another way."""
    return (method.eta, method.variance) == (other.eta, other.variance)
