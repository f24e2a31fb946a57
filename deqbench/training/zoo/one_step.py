"""Training of a generator of one call on the pairs of noise and code that a diffusion model makes.

Source: InstaFlow's second stage, with the teacher's DDIM chain in the place of the reflowed one.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.config import recipes
from deqbench.data import checkpoints
from deqbench.data.datasets import Dataset
from deqbench.decoder_inversion.latent_models import generated
from deqbench.training.trainer import Batch, step_generator
from deqbench.training.zoo.latents import sampled
from deqbench.training.zoo.plan import Plan, averaged

Pairs = tuple[Tensor, Tensor, Tensor]  # x_T (N, C, h, w), classes (N,), z_0 (N, C, h, w)


def drawn(count: int, classes: int, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise x_T (count, C, h, w) and classes (count,) int64, every class as likely as the others."""
    return torch.randn(count, *shape, generator=generator), torch.randint(classes, (count,), generator=generator)


def teacher_pairs(
    teacher: nn.Module, scheduler: Any, count: int, *, steps: int, generator: torch.Generator, batch: int = 256
) -> Pairs:
    """Noise x_T, classes and what the teacher makes of them without guidance: (count, C, h, w), (count,), as x_T."""
    form: Any = teacher.config
    shape = (form["in_channels"], form["sample_size"], form["sample_size"])
    x_T, labels = drawn(count, form["num_class_embeds"], shape, generator)
    parts = zip(x_T.split(batch), labels.split(batch), strict=True)
    return x_T, labels, torch.cat([sampled(teacher, scheduler, x, k, steps) for x, k in parts])


def pair_loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Mean squared error of z_0 on pairs; nothing is drawn."""
    x_T, labels, z_0 = batch
    return nn.functional.mse_loss(generated(net, x_T, labels), z_0)


def plan(recipe: recipes.OneStepRecipe, dataset: Dataset | None, base: Path) -> Plan:
    """The training of a generator that starts from the weights of its teacher, in the folder `base`. dataset: unused"""
    teacher, net = checkpoints.load(base), checkpoints.load(base).net
    draws, steps = step_generator(recipe.seed, recipe.steps), recipe.teacher_steps
    pairs = teacher_pairs(teacher.net, teacher.scheduler, recipe.pairs, steps=steps, generator=draws)
    held = heldout_pairs(teacher.net, teacher.scheduler, steps)

    def finish(net: nn.Module) -> dict[str, float]:
        return {"train_teacher_nmse_db": teacher_error(net, pairs)}

    def measure(net: nn.Module) -> dict[str, float]:
        return {"heldout_teacher_nmse_db": teacher_error(net, held)}

    return Plan(net, pair_loss, pairs, averaged(recipe), finish, measure)


@torch.inference_mode()
def teacher_error(net: nn.Module, pairs: Pairs) -> float:
    """||z_0 - teacher's z_0||^2 / ||teacher's z_0||^2 over all pairs, in dB."""
    x_T, labels, z_0 = pairs
    net.eval()
    error = generated(net, x_T, labels) - z_0
    return float(10 * torch.log10(error.square().sum() / z_0.square().sum()))


def heldout_pairs(teacher: nn.Module, scheduler: Any, steps: int) -> Pairs:
    """512 pairs that no training sees."""
    return teacher_pairs(teacher, scheduler, 512, steps=steps, generator=step_generator(12345, 0))
