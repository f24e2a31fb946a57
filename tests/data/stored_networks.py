"""Tiny networks as diffusers writes them, and the command that fetches one."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from deqbench.data import checkpoints, datasets

WEIGHTS = "diffusion_pytorch_model.safetensors"


def unet(**changes):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    sizes = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 8), "norm_num_groups": 4}
    down, up = ("DownBlock2D", "DownBlock2D"), ("UpBlock2D", "UpBlock2D")
    blocks = {"down_block_types": down, "up_block_types": up, "layers_per_block": 1, "attention_head_dim": 4}
    return UNet2DModel(**{**sizes, **blocks, **changes})


def autoencoder():
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)


def images(path: Path, *shape: int) -> Path:
    split = torch.zeros(2, *shape)
    datasets.save(datasets.Dataset(split, split, split, symmetric=False), path)
    return path


def words(tmp_path: Path, out: Path, **settings: object) -> list[str]:
    """The command that fetches a checkpoint for images 1x8x8."""
    data = images(tmp_path / "images.safetensors", 1, 8, 8)
    job = json.dumps({"network": "digits", "checkpoint": {"source": "folder", **settings}})
    files = ["--input", f"dataset={data}", "--output", f"folder={out}"]
    return ["run", "inputs.checkpoint", "--settings", job, *files]


def same_weights(folder: Path, source: Path) -> bool:
    net = dict(checkpoints.load(folder).net.named_parameters())
    stored = load_file(source / WEIGHTS)
    return net.keys() == stored.keys() and all(torch.equal(net[key], stored[key].float()) for key in net)
