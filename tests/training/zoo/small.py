"""Small networks, data and recipes of every kind of training."""

from types import MappingProxyType, SimpleNamespace

import torch
from diffusers import DDIMScheduler

from deqbench.config import recipes
from deqbench.data import datasets
from deqbench.training.trainer import train

CLASSES = 2
UNET = {
    "sample_size": 8,
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D"] * 2,
    "up_block_types": ["UpBlock2D"] * 2,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
    "num_class_embeds": CLASSES + 1,
}
KL = {
    "latent_channels": 2,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}
TINY = {
    "latent_channels": 2,
    "encoder_block_out_channels": [8, 8],
    "decoder_block_out_channels": [8, 8],
    "num_encoder_blocks": [1, 1],
    "num_decoder_blocks": [1, 1],
}
FORMS = {"AutoencoderKL": KL, "AutoencoderTiny": TINY}
LOOP = {"batch": 8, "lr": 3e-3, "ema_decay": 0.9, "seed": 0, "bf16": False}
SCHEDULER = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, timestep_spacing="leading")


def recipe(kind: str, **changes) -> recipes.AnyRecipe:
    """A short training of that kind."""
    own = {
        "autoencoder": {"form": "AutoencoderTiny", "network": TINY, "l1": 0.1, "kl": 1e-4},
        "latent": {"builds_on": "vae", "unet": UNET, "drop": 0.2, "noise": 0.05},
        "one-step": {"builds_on": "latent", "pairs": 6, "teacher_steps": 2},
    }
    words = {"kind": kind, "dataset": "patches", "steps": 20, "data_licence": "none", **LOOP, **own.get(kind, {})}
    if kind == "classifier":
        words = {key: value for key, value in words.items() if key not in ("ema_decay", "bf16")}
    known = {
        "classifier": recipes.ClassifierRecipe,
        "diffusion": recipes.DiffusionRecipe,
        "latent": recipes.LatentRecipe,
    }
    known |= {"autoencoder": recipes.AutoencoderRecipe, "one-step": recipes.OneStepRecipe}
    return known[kind](**{**words, **changes})


def fresh(plan, *args):
    """A plan whose network has the initial weights of seed 0."""
    torch.manual_seed(0)
    return plan(*args)


def trained(plan) -> dict[str, torch.Tensor]:
    """The weights that a plan's training makes."""
    return train(plan.net, plan.loss, {"train": plan.rows}, plan.settings).weights


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toy() -> datasets.Dataset:
    """Stripes of two colours, 16 pixels wide: the label is the colour."""
    labels = torch.arange(24) % CLASSES
    colours = torch.tensor([[0.8, -0.5, 0.1], [-0.6, 0.4, 0.9]])
    waves = torch.sin(torch.linspace(0, 9, 16) + torch.linspace(0, 3, 24).view(-1, 1))  # (24, 16)
    images = colours[labels].view(-1, 3, 1, 1) * waves.view(-1, 1, 1, 16).expand(-1, -1, 16, -1)
    return datasets.Dataset(images[:16], images[16:20], images[20:], True, labels[:16], labels[20:])


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Halves:
    """E is a mean over squares of two pixels, D(E(x)) a scale of it: both errors are known."""

    config = MappingProxyType({"scaling_factor": 2.0})

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def eval(self) -> None:
        pass

    def encode(self, x):
        return SimpleNamespace(latents=torch.nn.functional.avg_pool2d(x, 2))

    def decode(self, z):
        return SimpleNamespace(sample=self.scale * torch.nn.functional.interpolate(z, scale_factor=2.0))


class Points:
    """The exact denoiser of classes that are one point each, c_k = k, the last being no condition."""

    config = MappingProxyType({"num_class_embeds": 4, "in_channels": 1, "sample_size": 2})

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x, t, labels):
        self.calls += 1
        a = SCHEDULER.alphas_cumprod[t].double()
        return SimpleNamespace(sample=(x - a.sqrt() * labels.view(-1, 1, 1, 1)) / (1 - a).sqrt())
