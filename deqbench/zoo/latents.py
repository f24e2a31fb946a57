"""Training of the noise-prediction networks on an autoencoder's codes, conditional on the label."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.data.datasets import Dataset, dihedral
from deqbench.zoo.autoencoders import Autoencoder, codes
from deqbench.zoo.training import diffusion_loss, step_generator, train


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


def train_latent(
    net: nn.Module, latents: Dataset, alpha_bar: Tensor, *, batch: int, drop: float, noise: float, **options: Any
) -> dict[str, Tensor]:
    """The averaged weights of a network on codes. Further arguments as for `train`.

    drop: share of the codes shown with the network's last class, which stands for no condition, as classifier-free
    guidance wants it. noise: standard deviation of what is added to the codes, so that few of them are not learnt by
    heart.
    """
    without, labels = int(net.config["num_class_embeds"]) - 1, latents.train_labels  # type: ignore[index]
    assert labels is not None

    def loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(latents.train), (batch,), generator=generator)
        z = latents.train[chosen]
        z = z + noise * torch.randn(z.shape, generator=generator)
        dropped = torch.rand(batch, generator=generator) < drop
        return diffusion_loss(net, z, alpha_bar, generator, labels[chosen].masked_fill(dropped, without))

    return train(net, loss, about=(batch, drop, noise, tuple(latents.train.shape)), **options)


@torch.inference_mode()
def heldout_loss(net: nn.Module, latents: Dataset, alpha_bar: Tensor, split: str = "test") -> float:
    """Mean squared error of the predicted noise on 2,048 draws of a split's codes, with their labels."""
    z, labels = getattr(latents, split), getattr(latents, f"{split}_labels")
    net.eval()
    generator = step_generator(12345, 0)
    batches = torch.randint(len(z), (8, 256), generator=generator)
    losses = [diffusion_loss(net, z[k], alpha_bar, generator, labels[k]) for k in batches]
    return float(torch.stack(losses).mean())


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
