"""Noise-prediction networks in diffusers' format: from the zoo, a folder or a hub, checked before anything uses them."""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deqbench import config, provenance, zoo
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError
from deqbench.records import read_json, write_json

WANTED = ("*.json", "*.safetensors")  # never a pickle


@dataclass(frozen=True)
class Network:
    """A noise-prediction network and what its chain needs."""

    net: nn.Module
    schedule: Schedule
    scheduler: Any  # diffusers' DDIMScheduler of the same config, clip_sample off
    shape: tuple[int, int, int]  # (C, H, W)


def fetch(checkpoint: config.Checkpoint, out: Path) -> dict[str, str]:
    """Puts the checkpoint into the folder `out`, whole or not at all; the checksums of its weights by file name.

    UserError: unknown zoo model, no such folder or repository, no safetensors in it, or a checksum that differs.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / "checkpoint"
        expected = dict(checkpoint.sha256)
        if checkpoint.source == "zoo":
            source = zoo.path(checkpoint.name)
            expected |= read_json(source / "card.json")["sha256"]
            _copy(source, folder)
        elif checkpoint.source == "folder":
            _copy(Path(checkpoint.name), folder)
        else:
            _download(checkpoint, folder)
        found = _checksums(folder, expected, checkpoint.name)
        write_json(folder / "checkpoint.json", {**checkpoint.model_dump(), "sha256": found})
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return found


def _copy(source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise UserError(f"{source}: expected a checkpoint's folder in diffusers' format; found none")
    files = [path for pattern in WANTED for path in source.rglob(pattern)]
    for path in files:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _download(checkpoint: config.Checkpoint, folder: Path) -> None:
    """A hub's repository, at a revision, with every file's checksum compared with the hub's own list."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    api = HfApi()
    try:
        revision = api.model_info(checkpoint.name, revision=checkpoint.revision).sha
        api.snapshot_download(checkpoint.name, revision=revision, local_dir=folder, allow_patterns=list(WANTED))
        listed = api.verify_repo_checksums(checkpoint.name, revision=revision, local_dir=folder)
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{checkpoint.name}: expected a repository of {api.endpoint}; found: {reason}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if listed.mismatches:
        bad = listed.mismatches[0]
        raise UserError(f"{checkpoint.name}/{bad['path']}: expected checksum {bad['expected']}; found {bad['actual']}")


def _checksums(folder: Path, expected: dict[str, str], name: str) -> dict[str, str]:
    found = {str(path.relative_to(folder)): provenance.sha256(path) for path in sorted(folder.rglob("*.safetensors"))}
    if not found:
        raise UserError(f"{name}: expected weights in safetensors; found none")
    for file, checksum in expected.items():
        if found.get(file) != checksum:
            raise UserError(f"{name}/{file}: expected sha256 {checksum}; found {found.get(file, 'no such file')}")
    return found


def load(folder: Path, subfolder: str | None = None) -> Network:
    """The network in a folder, float32, in evaluation mode. UserError: missing, cut short, or of another form."""
    from diffusers import DDIMScheduler, UNet2DModel

    folder = Path(folder)
    subfolder = subfolder or ("unet" if (folder / "unet").is_dir() else None)
    place = folder / (subfolder or "")
    weights = next(iter(sorted(place.glob("*.safetensors"))), place / "diffusion_pytorch_model.safetensors")
    if not (place / "config.json").is_file() or not weights.is_file():
        raise UserError(f"{place}: expected config.json and diffusion_pytorch_model.safetensors; found one missing")
    _check_form(weights)
    try:
        net = UNet2DModel.from_pretrained(place, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{weights}: expected the weights of the network in config.json; found: {reason}") from error
    if not all(p.isfinite().all() for p in net.parameters()):
        raise UserError(f"{weights}: expected finite weights; found NaN or infinity")
    scheduler_folder = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    has_config = (scheduler_folder / "scheduler_config.json").is_file()
    settings = DDIMScheduler.load_config(scheduler_folder) if has_config else {}
    if settings.get("clip_sample", False):
        print("clip_sample is switched off: a clipped step is no affine map of eps", file=sys.stderr)
    scheduler = DDIMScheduler.from_config({**settings, "clip_sample": False, "timestep_spacing": "leading"})
    size = net.config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return Network(net.eval(), Schedule.of(scheduler), scheduler, (net.config["in_channels"], height, width))


def _check_form(weights: Path) -> None:
    """Reads the header and the length only, so that a file cut short is named as such. UserError as for `load`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="pt"):
            return
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError(f"{weights}: expected a whole safetensors file; found: {error}") from error


def check_shape(network: Network, shape: tuple[int, ...], name: str) -> None:
    """UserError unless the network takes images of that shape (C, H, W)."""
    if tuple(network.shape) != tuple(shape):
        wanted, found = ("x".join(map(str, s)) for s in (network.shape, shape))
        raise UserError(f"datasets.{name}.checkpoint: expected a network for images {found} (C x H x W); found one for {wanted}")
