"""Training of the feature extractors: digits by their labels, unlabelled patches by the way they were spoilt."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from deqbench.data.datasets import Dataset, dihedral
from deqbench.metrics.features import SmallClassifier
from deqbench.zoo.training import OnStep, step_generator

CORRUPTIONS = ("none", "noise", "blur", "shuffled quarters", "contrast", "channels exchanged")


def corrupt(images: Tensor, kind: int, generator: torch.Generator) -> Tensor:
    """The images (N, C, H, H) spoilt in the way `CORRUPTIONS[kind]`, with strengths drawn per image."""
    strength = torch.rand(len(images), 1, 1, 1, generator=generator)
    if CORRUPTIONS[kind] == "noise":
        return images + (0.05 + 0.25 * strength) * torch.randn(images.shape, generator=generator)
    if CORRUPTIONS[kind] == "blur":
        coarse = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
        return torch.lerp(images, coarse, 0.4 + 0.6 * strength)
    if CORRUPTIONS[kind] == "shuffled quarters":
        return images.roll((images.shape[2] // 2, images.shape[3] // 4), (2, 3))
    if CORRUPTIONS[kind] == "contrast":
        mean = images.mean((2, 3), keepdim=True)
        return mean + (images - mean) * torch.where(strength < 0.5, 0.5 + 0.5 * strength, 1.1 + 0.5 * strength)
    if CORRUPTIONS[kind] == "channels exchanged":
        return images.flip(1)
    return images


def batch_of(dataset: Dataset, task: str, split: str, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (size, C, H, W) of a split and the classes (size,) to predict, for the task `labels` or `corruptions`."""
    images = getattr(dataset, split)
    chosen = torch.randint(len(images), (size,), generator=generator)
    if task == "labels":
        images, classes = images[chosen], getattr(dataset, f"{split}_labels")[chosen]
        if split == "train":
            shift = torch.randint(-1, 2, (2,), generator=generator)
            images = images.roll((int(shift[0]), int(shift[1])), (2, 3)) if shift.abs().sum() == 1 else images
        return images, classes
    images = dihedral(images[chosen], torch.randint(8, (size,), generator=generator))
    classes = torch.arange(size) % len(CORRUPTIONS)
    spoilt = [corrupt(images[classes == kind], kind, generator) for kind in range(len(CORRUPTIONS))]
    return torch.cat(spoilt), classes.sort(stable=True).values


def train_classifier(
    dataset: Dataset, task: str, *, steps: int, batch: int, lr: float, seed: int, on_step: OnStep | None = None
) -> SmallClassifier:
    """A classifier trained on the train split, its features standardised there."""
    labels = dataset.train_labels
    classes = len(CORRUPTIONS) if labels is None or task == "corruptions" else int(labels.max()) + 1
    net = SmallClassifier(dataset.shape[0], classes)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    net.train()
    for step in range(steps):
        images, target = batch_of(dataset, task, "train", batch, step_generator(seed, step))
        loss = nn.functional.cross_entropy(net(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if on_step:
            on_step(step + 1, float(loss.detach()))
    net.eval()
    net.standardise(dataset.train)
    return net


@torch.inference_mode()
def accuracy(net: SmallClassifier, dataset: Dataset, task: str, seed: int) -> float:
    """Share of right classes on the test split: every labelled image, or 3,000 spoilt ones."""
    if task == "labels":
        images, target = dataset.test, dataset.test_labels
    else:
        images, target = batch_of(dataset, task, "test", 3000, step_generator(seed, 0))
    return float((net(images).argmax(1) == target).float().mean())
