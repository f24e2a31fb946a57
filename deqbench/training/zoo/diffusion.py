"""Training of the noise-prediction networks on images."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.config import recipes
from deqbench.data.datasets import Dataset, dihedral
from deqbench.records import write_json
from deqbench.training.trainer import Batch, step_generator
from deqbench.training.zoo.plan import Plan, averaged, store_half, training_scheduler


def diffusion_loss(
    net: nn.Module, x0: Tensor, alpha_bar: Tensor, generator: torch.Generator, labels: Tensor | None = None
) -> Tensor:
    """Mean squared error of the predicted noise, timesteps drawn uniformly. Source: DDPM, eq. 14.

    x0: (B, C, H, W); labels: (B,) int64, for a network that wants them.
    """
    t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    a = alpha_bar[t].view(-1, 1, 1, 1)
    return nn.functional.mse_loss(net(a.sqrt() * x0 + (1 - a).sqrt() * eps, t, labels).sample.float(), eps)


def turned(images: Tensor, symmetric: bool, generator: torch.Generator) -> Tensor:
    """The images (B, C, H, H), each turned and mirrored at random where that is as likely as the original."""
    return dihedral(images, torch.randint(8, (len(images),), generator=generator)) if symmetric else images


def plan(recipe: recipes.DiffusionRecipe, dataset: Dataset, base: Path | None = None) -> Plan:
    """The training of a noise-prediction network. base: none is needed."""
    from diffusers import UNet2DModel

    scheduler = training_scheduler()
    alpha_bar = scheduler.alphas_cumprod

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return diffusion_loss(net, turned(batch[0], dataset.symmetric, generator), alpha_bar, generator)

    def measure(net: nn.Module) -> dict[str, float]:
        return {"heldout_eps_mse": heldout_loss(net, dataset.tuning, alpha_bar)}

    def store(net: Any, out: Path) -> nn.Module:
        parts = {"scheduler": ["diffusers", "DDIMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
        write_json(out / "model_index.json", {"_class_name": "DDIMPipeline", **parts})
        scheduler.save_config(out)
        return store_half(net, out)

    net = UNet2DModel(**recipe.unet)
    return Plan(net, loss, (dataset.train,), averaged(recipe), measure=measure, store=store)


@torch.inference_mode()
def heldout_loss(net: nn.Module, x0: Tensor, alpha_bar: Tensor, labels: Tensor | None = None) -> float:
    """Mean squared error of the predicted noise on 2,048 draws of x0 (N, C, H, W), with their labels (N,) if any."""
    net.eval()
    generator = step_generator(12345, 0)
    batches = torch.randint(len(x0), (8, 256), generator=generator)
    losses = [diffusion_loss(net, x0[k], alpha_bar, generator, None if labels is None else labels[k]) for k in batches]
    return float(torch.stack(losses).mean())
