"""Training of the autoencoders: an encoder E and a decoder D that undoes it as well as its codes allow."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deqbench.config import recipes
from deqbench.data.datasets import Dataset
from deqbench.training.trainer import Batch
from deqbench.training.zoo.diffusion import turned
from deqbench.training.zoo.plan import Plan, averaged

Autoencoder = Any  # diffusers' AutoencoderKL or AutoencoderTiny


def encoded(net: Autoencoder, x: Tensor) -> Tensor:
    """E(x): the codes (B, 4, h, w) of images (B, 3, H, W); of AutoencoderKL the posterior's mean."""
    found = net.encode(x)
    return found.latents if hasattr(found, "latents") else found.latent_dist.mode()


def autoencoder_loss(net: Autoencoder, x: Tensor, generator: torch.Generator, *, l1: float, kl: float) -> Tensor:
    """||D(z) - x||^2 + l1 ||D(z) - x||_1 + kl KL(q(z|x) || N(0, I)), each a mean over entries; z is drawn from q(z|x).

    A code without a distribution (AutoencoderTiny) has the divergence of a unit normal about it: z^2 / 2.
    """
    found = net.encode(x)
    if hasattr(found, "latents"):
        z, divergence = found.latents, found.latents.float().square().mean() / 2
    else:
        q = found.latent_dist
        z = q.mean + q.std * torch.randn(q.mean.shape, generator=generator)
        divergence = (q.mean.float().square() + q.var.float() - 1 - q.logvar.float()).mean() / 2
    error = net.decode(z).sample.float() - x
    return error.square().mean() + l1 * error.abs().mean() + kl * divergence


def plan(recipe: recipes.AutoencoderRecipe, dataset: Dataset, base: Path | None = None) -> Plan:
    """The training of both halves together; the codes of tuning images are then scaled to a standard deviation of 1."""
    import diffusers

    def loss(net: Autoencoder, batch: Batch, generator: torch.Generator) -> Tensor:
        images = turned(batch[0], dataset.symmetric, generator)
        return autoencoder_loss(net, images, generator, l1=recipe.l1, kl=recipe.kl)

    def finish(net: Autoencoder) -> dict[str, float]:
        std = float(codes(net, dataset.tuning).std())
        net.register_to_config(scaling_factor=1 / std)
        return {"tuning_code_std": std}

    def measure(net: Autoencoder) -> dict[str, float]:
        return quality(net, dataset.test)

    net = getattr(diffusers, recipe.form)(**recipe.network)
    return Plan(net, loss, (dataset.train,), averaged(recipe), finish=finish, measure=measure)


@torch.inference_mode()
def codes(net: Autoencoder, images: Tensor, batch: int = 64) -> Tensor:
    """E(x) of images (N, 3, H, W), not scaled, a batch at a time."""
    return torch.cat([encoded(net, x) for x in images.split(batch)])


@torch.inference_mode()
def quality(net: Autoencoder, images: Tensor) -> dict[str, float]:
    """How well D undoes E on images (N, 3, H, W): `psnr_db`, and `cycle_nmse_db`, that E undoes D on codes.

    Means over images: 10 log10(4 / MSE), for a range of two, and 10 log10(||E(D(z)) - z||^2 / ||z||^2) at z = E(x).
    """
    net.eval()
    psnr, nmse = [], []
    for x in images.split(32):
        z = encoded(net, x)
        back = net.decode(z).sample
        again = encoded(net, back)
        psnr.append(10 * torch.log10(4 / (back - x).double().square().flatten(1).mean(1)))
        ratio = (again - z).double().square().flatten(1).sum(1) / z.double().square().flatten(1).sum(1)
        nmse.append(10 * torch.log10(ratio))
    return {"psnr_db": float(torch.cat(psnr).mean()), "cycle_nmse_db": float(torch.cat(nmse).mean())}
