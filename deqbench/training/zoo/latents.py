"""Training of the noise-prediction networks on an autoencoder's codes, conditional on the label."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.config import recipes
from deqbench.data import autoencoders
from deqbench.data.datasets import Dataset, dihedral
from deqbench.training.trainer import Batch
from deqbench.training.zoo.autoencoders import Autoencoder, codes
from deqbench.training.zoo.diffusion import diffusion_loss, heldout_loss
from deqbench.training.zoo.plan import Plan, averaged, store_half, training_scheduler


def latent_codes(vae: Autoencoder, images: Tensor, labels: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
    """The scaled codes (N, 4, h, w) of images and their labels (N,), of all eight turned copies where `symmetric`."""
    turns = range(8) if symmetric else range(1)  # one after the other, for all copies at once are a gigabyte
    z = [codes(vae, dihedral(images, torch.full((len(images),), k))) for k in turns]
    return torch.cat(z) * vae.config["scaling_factor"], labels.repeat(len(turns))


def latent_dataset(vae: Autoencoder, dataset: Dataset) -> Dataset:
    """The scaled codes of all splits, the train split's in all turned copies. ValueError: no labels."""
    if dataset.train_labels is None or dataset.test_labels is None:
        raise ValueError("expected labels of the train and test split; found none")
    train_z, train_labels = latent_codes(vae, dataset.train, dataset.train_labels, dataset.symmetric)
    scale = vae.config["scaling_factor"]
    tuning_z, test_z = (codes(vae, images) * scale for images in (dataset.tuning, dataset.test))
    return Dataset(train_z, tuning_z, test_z, False, train_labels, dataset.test_labels)


def plan(recipe: recipes.LatentRecipe, dataset: Dataset, base: Path) -> Plan:
    """The training of a network on the codes of the autoencoder in the folder `base`. As for `plan_on`."""
    return plan_on(recipe, latent_dataset(autoencoders.load(base), dataset))


def plan_on(recipe: recipes.LatentRecipe, latents: Dataset) -> Plan:
    """The same on codes with their labels.

    Of the codes a share `drop` is shown with the network's last class, which stands for no condition, as
    classifier-free guidance wants it. `noise` is added to the codes, so that few of them are not learnt by heart.
    """
    from diffusers import UNet2DModel

    scheduler, net = training_scheduler(), UNet2DModel(**recipe.unet)
    alpha_bar, without = scheduler.alphas_cumprod, int(net.config["num_class_embeds"]) - 1
    assert latents.train_labels is not None

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        z, labels = batch
        z = z + recipe.noise * torch.randn(z.shape, generator=generator)
        dropped = torch.rand(len(z), generator=generator) < recipe.drop
        return diffusion_loss(net, z, alpha_bar, generator, labels.masked_fill(dropped, without))

    def finish(net: nn.Module) -> dict[str, float]:
        return {"train_eps_mse": heldout_loss(net, latents.train, alpha_bar, latents.train_labels)}

    def measure(net: nn.Module) -> dict[str, float]:
        return {"heldout_eps_mse": heldout_loss(net, latents.test, alpha_bar, latents.test_labels)}

    def store(net: nn.Module, out: Path) -> nn.Module:
        scheduler.save_config(out)
        return store_half(net, out)

    rows = (latents.train, latents.train_labels)
    return Plan(net, loss, rows, averaged(recipe), finish, measure, store)


@torch.inference_mode()
def sampled(net: nn.Module, scheduler: Any, x_T: Tensor, labels: Tensor, steps: int, guidance: float = 1.0) -> Tensor:
    """x_0 of noise x_T (B, C, h, w) by `steps` of DDIM with classifier-free guidance.

    labels: (B,) int64; the network's last class stands for no condition, and guidance 1 needs no second call.
    """
    without = torch.full_like(labels, int(net.config["num_class_embeds"]) - 1)  # type: ignore[index]
    scheduler.set_timesteps(steps)
    x = x_T
    for t in scheduler.timesteps:
        eps = net(x, t, labels).sample
        if guidance != 1:
            base = net(x, t, without).sample
            eps = base + guidance * (eps - base)
        x = scheduler.step(eps, t, x).prev_sample
    return x
