"""Sampled images of one method, and the same as diffusers walks the chain."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deqbench.data.checkpoints import Network
from deqbench.diffusion import noise
from deqbench.diffusion.sampled import Sampled
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.chains import chain, groups, predictor
from deqbench.experiments.deq_ddim.scores.job import DrawJob
from deqbench.experiments.deq_ddim.shared import Method


def shard_images(total: int, shards: int, shard: int) -> range:
    """The images of one shard of `shards`. UserError: shard outside 0..shards-1."""
    if not 0 <= shard < shards:
        raise UserError(f"shard: expected 0 to {shards - 1}; found {shard}")
    return range(total * shard // shards, total * (shard + 1) // shards)


@torch.inference_mode()
def drawn(
    network: Network, job: DrawJob, method: Method, T: int, on_image: Callable[[int], None] | None = None
) -> dict[str, Tensor]:
    """x0 (n, C, H, W), rounds (n,), nfe (n,) and diverged (n,) of one shard of a method's images at one T."""
    eps = predictor(network, job.device, job.max_batch)
    parts: list[Sampled] = []
    done = 0
    for group in groups(shard_images(job.images, job.shards, job.shard), T):
        before = eps.evaluations
        made = chain(network, eps, method, job.grid, T, job.seed, group)
        parts.append(sample(method.sampler, made, method.options))
        if eps.evaluations - before != int(parts[-1].nfe.sum()):
            raise AssertionError(
                f"{method.sampler}: NFE {int(parts[-1].nfe.sum())}, counted {eps.evaluations - before}"
            )
        done += len(group)
        if on_image:
            on_image(done)
    diverged = torch.tensor([word == "diverged" for part in parts for word in part.stopped])
    told = {name: torch.cat([getattr(part, name) for part in parts]).cpu() for name in ("x0", "rounds", "nfe")}
    return {**told, "diverged": diverged}


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
    for j, t in enumerate(scheduler.timesteps):
        out = network.net(x, t.to(device).expand(len(x))).sample
        if drawn is not None and method.variance == "large":
            x = _ddpm_step(scheduler, out, t, x, drawn[:, j])
        else:
            extra = {"variance_noise": drawn[:, j]} if drawn is not None else {}
            x = scheduler.step(out, t, x, eta=method.eta, **extra).prev_sample
    return x.cpu()


def _ddpm_step(scheduler: Any, out: Tensor, t: Tensor, x: Tensor, drawn: Tensor) -> Tensor:
    """DDPMScheduler draws its noise itself: its mean is taken with the noise of ours added."""
    mean = scheduler.step(out, t, x, generator=torch.Generator().manual_seed(0)).prev_sample
    own = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    spread = scheduler._get_variance(t, variance_type="fixed_large") ** 0.5 if t > 0 else 0.0
    return mean + spread * (drawn - own)
