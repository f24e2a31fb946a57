"""Latents from noise or from test images, and the images that the decoder makes of them."""

from typing import Any

import torch
from torch import Tensor

from deqbench.data import autoencoders, checkpoints, datasets
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.latent_models import LatentModel, classes
from deqbench.diffusion import noise
from deqbench.errors import UserError
from deqbench.experiments.decoder_inversion.models import device_of, labels_of, latent_model
from deqbench.experiments.decoder_inversion.shared import Model, ModelSlice
from deqbench.experiments.decoder_inversion.target_files import Targets, tensors
from deqbench.experiments.files import Files, OnStep

FIRST = {"test": 0, "tuning": 10_000}  # the number of a split's first target: every draw comes from its number


def targets(job: ModelSlice, files: Files, on_step: OnStep) -> dict[str, Any]:
    """The targets of both splits of a model."""
    model = job.model
    codec = Codec(autoencoders.load(files.one("autoencoder")).to(job.device), max_batch=job.pictures)  # type: ignore[arg-type]
    made = None
    if model.denoiser:
        made = latent_model(checkpoints.load(files.one("denoiser")), model, job.device, job.max_batch)
    return {"targets": tensors(by_split(codec, made, model, job.seed))}


@torch.no_grad()
def by_split(codec: Codec, made: LatentModel | None, model: Model, seed: int) -> dict[str, Targets]:
    """The targets of both splits, on the CPU. codec: E and D in float32; made: what draws the latents, None for codes.

    Target k of a split is the same whatever their count. UserError: fewer images in a split than targets asked for.
    """
    counts = {"tuning": model.tuning, "test": model.test}
    if made is None:
        data = datasets.build(model.images, **model.options)
        return {split: _coded(codec, data, split, count, model.noise, seed) for split, count in counts.items()}
    return {split: _drawn(codec, made, split, count, model.frames, seed) for split, count in counts.items()}


def _drawn(codec: Codec, made: LatentModel, split: str, count: int, frames: int, seed: int) -> Targets:
    numbers = range(FIRST[split], FIRST[split] + count)
    x_T, labels = noise.x_T(seed, numbers, made.shape), labels_of(numbers, classes(made.network) - 1)
    if frames > 1:
        last = noise.step_noise(seed, numbers, 1, made.shape)[:, 0]
        x_T = path(x_T, last, frames)
    device = device_of(made.network.net)
    z = made.latents(x_T.to(device), labels.to(device))
    return Targets(z.cpu(), codec.decode(z).cpu(), labels, x_T)


def path(first: Tensor, last: Tensor, frames: int) -> Tensor:
    """(B, F, c, h, w): from `first` a sixth of the half circle towards `last`, both (B, c, h, w), in equal angles.

    A mix c first + s last with c^2 + s^2 = 1 of two independent normal draws is one again, unlike a straight line's.
    """
    angles = torch.linspace(0, torch.pi / 6, frames, dtype=torch.float64).to(first)
    return torch.stack([angle.cos() * first + angle.sin() * last for angle in angles], dim=1)


def _coded(codec: Codec, data: datasets.Dataset, split: str, count: int, std: float, seed: int) -> Targets:
    images: Tensor = getattr(data, split)
    if count > len(images):
        raise UserError(f"{split}: expected at most {len(images)} targets, the images of the data set; found {count}")
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    numbers = range(FIRST[split], FIRST[split] + count)
    device = device_of(codec.vae)
    z = codec.encode(images[chosen].to(device)).cpu()
    if std:
        z = z + std * noise.x_T(seed, numbers, z.shape[1:])
    x = codec.decode(z.to(device)).cpu()
    labels = data.test_labels if split == "test" else None
    return Targets(z, x, torch.full((count,), -1) if labels is None else labels[chosen])
