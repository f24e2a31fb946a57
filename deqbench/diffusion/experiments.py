"""The measurements behind tables and figures: images, times, traces. Pure of files: commands read and write."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deqbench import jobs
from deqbench.config import Method
from deqbench.data.checkpoints import Network
from deqbench.diffusion import noise
from deqbench.diffusion.chain import DDIMChain, EpsModel
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.sampled import Sampled
from deqbench.diffusion.samplers import sample
from deqbench.diffusion.schedule import timesteps
from deqbench.errors import UserError
from deqbench.metrics.errors import relative_error

GROUP = 4096  # states solved together: 4096 / T chains


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


@torch.inference_mode()
def draw(
    network: Network, job: jobs.Draw, method: Method, T: int, on_image: Callable[[int], None] | None = None
) -> dict[str, Tensor]:
    """x0 (n, C, H, W), rounds (n,), nfe (n,) and diverged (n,) of one shard of a method's images at one T."""
    eps = predictor(network, job.device, job.max_batch)
    parts: list[Sampled] = []
    done = 0
    for group in groups(jobs.shard_images(job.scores.images, job.scores.shards, job.shard), T):
        before = eps.evaluations
        made = chain(network, eps, method, job.grid, T, job.seed, group)
        parts.append(sample(method.sampler, made, jobs.options(method)))
        if eps.evaluations - before != int(parts[-1].nfe.sum()):
            raise AssertionError(
                f"{method.sampler}: NFE {int(parts[-1].nfe.sum())}, counted {eps.evaluations - before}"
            )
        done += len(group)
        if on_image:
            on_image(done)
    return {
        "x0": torch.cat([part.x0 for part in parts]).cpu(),
        "rounds": torch.cat([part.rounds for part in parts]).cpu(),
        "nfe": torch.cat([part.nfe for part in parts]).cpu(),
        "diverged": torch.tensor([word == "diverged" for part in parts for word in part.stopped]),
    }


@torch.inference_mode()
def diffusers_walk(network: Network, method: Method, grid: str, T: int, seed: int, images: Sequence[int]) -> Tensor:
    """x0 (B, C, H, W) as diffusers' own scheduler walks the same chain. UserError: a grid that it does not know."""
    if grid != "uniform-released":
        raise UserError(f"grid: diffusers' scheduler walks uniform-released only; found {grid}")
    scheduler = network.scheduler
    scheduler.set_timesteps(T)
    device = next(network.net.parameters()).device
    x = noise.x_T(seed, images, network.shape).to(device)
    drawn = noise.step_noise(seed, images, T, network.shape).to(device) if method.eta else None
    if drawn is not None and method.variance == "large":
        from diffusers import DDPMScheduler

        settings = {**scheduler.config, "variance_type": "fixed_large", "clip_sample": False}
        scheduler = DDPMScheduler.from_config(settings)
        scheduler.set_timesteps(T)
        return _ddpm_walk(network, scheduler, x, drawn)
    for j, t in enumerate(scheduler.timesteps):
        out = network.net(x, t.to(device).expand(len(x))).sample
        extra = {"variance_noise": drawn[:, j]} if drawn is not None else {}
        x = scheduler.step(out, t, x, eta=method.eta, **extra).prev_sample
    return x.cpu()


def _ddpm_walk(network: Network, scheduler: Any, x: Tensor, drawn: Tensor) -> Tensor:
    """DDPMScheduler draws its noise itself: its mean is taken with the noise of ours added."""
    for j, t in enumerate(scheduler.timesteps):
        out = network.net(x, t.to(x.device).expand(len(x))).sample
        mean = scheduler.step(out, t, x, generator=torch.Generator().manual_seed(0)).prev_sample
        own = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
        spread = scheduler._get_variance(t, variance_type="fixed_large") ** 0.5 if t > 0 else 0.0
        x = mean + spread * (drawn[:, j] - own)
    return x.cpu()


@torch.inference_mode()
def timed(
    network: Network, job: jobs.Time, methods: dict[str, Method], dataset: str, T: int
) -> Iterator[dict[str, Any]]:
    """One mapping a run: method, image, seconds, rounds, nfe, x0_error; the methods take turns, one image at a time.

    The first turn warms up and is not reported. x0_error is relative to the baseline's x0 of the same image.
    """
    times = job.times[dataset]
    eps = predictor(network, job.device, job.max_batch)
    spent = dict.fromkeys(methods, 0.0)
    for repeat in range(-1, times.repeats):
        exact = None
        running = {name for name in methods if repeat < 3 or spent[name] <= times.longest_s}
        if running:  # what the others are compared with is made for every image that one of them makes
            running |= {job.baseline} & methods.keys()
        for name in sorted(running, key=lambda n: (n != job.baseline, list(methods).index(n))):
            method = methods[name]
            if repeat < 0 and T > 100:  # a long chain needs no warm-up of its own: the shorter ones were run before it
                continue
            made = chain(network, eps, method, job.grids[dataset], T, job.seed, [max(repeat, 0)])
            options = jobs.options(method)
            seconds, found = _clock(partial(sample, method.sampler, made, options), job.device)
            if name == job.baseline:
                exact = found.x0
            spent[name] += seconds
            if repeat >= 0:
                yield {
                    "method": name,
                    "image": repeat,
                    "time_s": seconds,
                    "rounds": int(found.rounds[0]),
                    "nfe": int(found.nfe[0]),
                    "x0_error": _error(found.x0, exact, same_chain(method, methods[job.baseline])),
                }


def same_chain(method: Method, other: Method) -> bool:
    """Whether both should end in the same images: the same chain, walked another way."""
    return (method.eta, method.variance) == (other.eta, other.variance)


def _error(x0: Tensor, exact: Tensor | None, comparable: bool) -> float:
    return float(relative_error(x0, exact)[0]) if comparable and exact is not None else float("nan")


def _clock(run: Callable[[], Sampled], device: str) -> tuple[float, Sampled]:
    if device.startswith("cuda"):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        found = run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3, found
    started = time.perf_counter()
    found = run()
    return time.perf_counter() - started, found
