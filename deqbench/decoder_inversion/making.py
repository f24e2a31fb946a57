"""Makes the targets of a model: latents from noise or from test images, and what the decoder shows of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from deqbench.config.decoder import Model
from deqbench.data import datasets
from deqbench.data.checkpoints import Network
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.latent_models import LatentModel, classes
from deqbench.decoder_inversion.targets import Targets
from deqbench.diffusion import noise
from deqbench.errors import UserError

FIRST = {"test": 0, "tuning": 10_000}  # the number of a split's first target: every draw comes from its number


def latent_model(network: Network, model: Model, device: str = "cpu", max_batch: int = 256) -> LatentModel:
    """The model of the config around its network, on a device. ValueError: its targets are codes."""
    if model.targets == "codes":
        raise ValueError("targets: expected diffusion or one-step; found codes")
    network.net.to(device)
    return LatentModel(network, model.targets, model.guidance, model.steps, max_batch)


@torch.no_grad()
def targets(codec: Codec, made: LatentModel | None, model: Model, seed: int) -> dict[str, Targets]:
    """The targets of both splits, on the CPU. codec: E and D in float32; made: what draws the latents, None for codes.

    Target k of a split is the same whatever their count. UserError: fewer images in a split than targets asked for.
    """
    counts = {"tuning": model.tuning, "test": model.test}
    if made is None:
        data = datasets.build(model.images, **model.options)
        return {split: _coded(codec, data, split, count, model.noise, seed) for split, count in counts.items()}
    return {split: _drawn(codec, made, split, count, model.frames, seed) for split, count in counts.items()}


def labels_of(numbers: Sequence[int], count: int) -> Tensor:
    """(B,) int64: the `count` classes take turns over the numbers."""
    return torch.tensor([number % max(1, count) for number in numbers])


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


def device_of(net: Any) -> torch.device:
    """Where a network's weights are."""
    return next(net.parameters()).device  # type: ignore[no-any-return]
