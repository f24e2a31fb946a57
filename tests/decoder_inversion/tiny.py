"""Small random networks of diffusers' classes, and codecs in closed form, for tests of latent models."""

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel
from torch import Tensor, nn

from deqbench.data.checkpoints import Network
from deqbench.diffusion.schedule import Schedule

CLASSES = 4  # the last one stands for no condition


def vae(seed: int = 0, scale: float = 0.5) -> AutoencoderKL:
    """An autoencoder of images 16x16 and latents (4, 8, 8)."""
    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
        scaling_factor=scale,
    ).eval()


def small_vae(seed: int = 0) -> AutoencoderKL:
    """An autoencoder of images 16x16 and latents (2, 8, 8)."""
    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(4, 8), down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4, layers_per_block=1, latent_channels=2, sample_size=16,
    ).eval()  # fmt: skip


def denoiser(seed: int = 0, prediction: str = "epsilon") -> Network:
    """A class-conditional network over latents (4, 8, 8) with its chain of 1,000 steps."""
    torch.manual_seed(seed)
    net = UNet2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4,
        num_class_embeds=CLASSES,
    ).eval()
    return network(net, prediction)


def network(net: nn.Module, prediction: str = "epsilon") -> Network:
    """Any network with the chain of 1,000 steps."""
    scheduler = DDIMScheduler(clip_sample=False, prediction_type=prediction, set_alpha_to_one=True)
    return Network(net, Schedule.of(scheduler), scheduler, (4, 8, 8))


class LinearEps(nn.Module):
    """eps(x, t, class) = slope x + class / 10: a chain of it has a closed form, and so has its inverse."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))
        self.config = {"num_class_embeds": CLASSES}

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Any:
        """(B, c, h, w), (B,), (B,) -> an object with `.sample`, as diffusers returns it."""
        shift = labels.to(x).view(-1, 1, 1, 1) / 10
        return type("Output", (), {"sample": self.slope.to(x) * x + shift})
