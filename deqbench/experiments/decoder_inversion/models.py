"""A job's networks, and what its latent models are asked for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.data import autoencoders, checkpoints
from deqbench.data.checkpoints import Network
from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.experiments.decoder_inversion.shared import Model, ModelSlice
from deqbench.experiments.files import Files


def networks(job: ModelSlice, files: Files) -> tuple[nn.Module, LatentModel]:
    """The autoencoder and the latent model of a job, on its device."""
    return networks_at(job, files.one("autoencoder"), files.one("denoiser"))


def networks_at(job: ModelSlice, autoencoder: Any, denoiser: Any) -> tuple[nn.Module, LatentModel]:
    """The same from their folders."""
    vae = autoencoders.load(autoencoder).to(job.device)  # type: ignore[arg-type]
    return vae, latent_model(checkpoints.load(denoiser), job.model, job.device, job.max_batch)


def latent_model(network: Network, model: Model, device: str = "cpu", max_batch: int = 256) -> LatentModel:
    """The model of the config around its network, on a device. ValueError: its targets are codes."""
    if model.targets == "codes":
        raise ValueError("targets: expected diffusion or one-step; found codes")
    network.net.to(device)
    return LatentModel(network, model.targets, model.guidance, model.steps, max_batch)


def labels_of(numbers: Sequence[int], count: int) -> Tensor:
    """(B,) int64: the `count` classes take turns over the numbers."""
    return torch.tensor([number % max(1, count) for number in numbers])


def device_of(net: Any) -> torch.device:
    """The device of a network's weights."""
    return next(net.parameters()).device  # type: ignore[no-any-return]
