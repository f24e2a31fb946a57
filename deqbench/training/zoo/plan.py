"""A recipe's training made ready: the network, its loss and rows, and what is measured and written at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deqbench.config import recipes
from deqbench.data import autoencoders, stored
from deqbench.training.settings import Optimisation
from deqbench.training.trainer import Loss


@dataclass(frozen=True)
class Plan:
    """A recipe's training. Metrics are measured in float32 and again on what a reader gets of the stored weights."""

    net: Any
    loss: Loss
    rows: tuple[Tensor, ...]  # of the train split
    settings: Optimisation
    finish: Callable[[Any], dict[str, float]] = lambda net: {}  # on the trained network, before it is stored
    measure: Callable[[Any], dict[str, float]] = lambda net: {}  # on held-out data
    store: Callable[[Any, Path], Any] = lambda net, out: store_half(net, out)  # what a reader gets of it
    splits: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)  # others, to validate on: tuning, test
    metrics: Mapping[str, Loss] | None = None  # measured on them, the first watched; their course is shipped


def averaged(recipe: recipes.AnyRecipe) -> Optimisation:
    """The training of all networks whose averaged weights are shipped."""
    loop = recipe.model_dump(include={"steps", "batch", "lr", "ema_decay", "seed", "bf16"})
    return Optimisation(schedule="cosine", clip=1.0, **loop)


def training_scheduler() -> Any:
    """Diffusers' DDIMScheduler of the zoo's chains: 1,000 steps, linear beta, nothing clipped."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(num_train_timesteps=1000, clip_sample=False, timestep_spacing="leading")


def store_half(net: Any, out: Path) -> nn.Module:
    """Writes a network of diffusers in half precision; what a reader gets of it, in float32."""
    net.half().save_pretrained(out)
    if type(net).__name__ in autoencoders.CLASSES:
        return autoencoders.load(out)
    return stored.network(type(net), out, str(out))  # type: ignore[no-any-return]
