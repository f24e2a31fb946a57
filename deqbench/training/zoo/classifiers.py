"""Training of the feature extractors: digits by their labels, unlabelled patches by the way they were spoilt."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from deqbench.config import recipes
from deqbench.data.datasets import Dataset
from deqbench.metrics.features import SmallClassifier
from deqbench.records import write_json, write_tensors
from deqbench.training.settings import Optimisation
from deqbench.training.trainer import Batch, step_generator
from deqbench.training.zoo.diffusion import turned
from deqbench.training.zoo.plan import Plan

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


def spoilt(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The images (N, C, H, H), turned at random and spoilt in all ways in turn, sorted by the way (N,) int64."""
    images = turned(images, True, generator)
    ways = torch.arange(len(images)) % len(CORRUPTIONS)
    parts = [corrupt(images[ways == kind], kind, generator) for kind in range(len(CORRUPTIONS))]
    return torch.cat(parts), ways.sort(stable=True).values


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """All images (N, C, H, W) rolled by one pixel in a direction drawn, or left as they are."""
    shift = torch.randint(-1, 2, (2,), generator=generator)
    return images.roll((int(shift[0]), int(shift[1])), (2, 3)) if shift.abs().sum() == 1 else images


def plan(recipe: recipes.ClassifierRecipe, dataset: Dataset, base: Path | None = None) -> Plan:
    """The training of a classifier, whose features are then standardised on the train split. base: none is needed."""
    labels = dataset.train_labels if recipe.task == "labels" else None
    classes = len(CORRUPTIONS) if labels is None else int(labels.max()) + 1

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        if recipe.task == "labels":
            images, target = shifted(batch[0], generator), batch[1]
        else:
            images, target = spoilt(batch[0], generator)
        return nn.functional.cross_entropy(net(images), target)

    def finish(net: SmallClassifier) -> dict[str, float]:
        net.standardise(dataset.train)
        return {"test_accuracy": accuracy(net, dataset, recipe.task, recipe.seed)}

    def store(net: SmallClassifier, out: Path) -> nn.Module:
        write_json(out / "config.json", {"channels": dataset.shape[0], "classes": classes})
        write_tensors(out / "model.safetensors", net.state_dict())
        return net

    loop = recipe.model_dump(include={"steps", "batch", "lr", "seed"})
    settings = Optimisation(optimizer="adamw", weight_decay=1e-3, schedule="one-cycle", **loop)
    rows = (dataset.train,) if labels is None else (dataset.train, labels)
    return Plan(SmallClassifier(dataset.shape[0], classes), loss, rows, settings, finish=finish, store=store)


@torch.inference_mode()
def accuracy(net: SmallClassifier, dataset: Dataset, task: str, seed: int) -> float:
    """Share of right classes on the test split: every labelled image, or 3,000 spoilt ones."""
    images, target = dataset.test, dataset.test_labels
    if task == "corruptions":
        generator = step_generator(seed, 0)
        images, target = spoilt(images[torch.randint(len(images), (3000,), generator=generator)], generator)
    return float((net(images).argmax(1) == target).float().mean())
