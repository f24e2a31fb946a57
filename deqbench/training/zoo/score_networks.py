"""Training of noise-conditional score networks, equilibria among them, by a sliced score-matching loss."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.config import recipes
from deqbench.data import score_networks
from deqbench.data.datasets import Dataset
from deqbench.score_matching import langevin, ncsn
from deqbench.training.trainer import Batch, step_generator
from deqbench.training.zoo.plan import Plan, averaged

SLICES = 4  # directions of a test image


def plan(recipe: recipes.ScoreRecipe, dataset: Dataset, base: Path | None = None) -> Plan:
    """The training on images taken to [0, 1]; the derivative of an equilibrium is the recipe's. base: none is needed.

    The weights kept are those whose loss by exact derivatives is least on tuning data: what others report may be none.
    """
    network = {"channels": dataset.shape[0], **recipe.network}
    levels: Any = {**recipe.sigmas, "levels": int(recipe.sigmas["levels"])}
    config = {"network": {**network, "levels": levels["levels"]}, "sigmas": levels}
    sigmas = langevin.geometric(**levels)

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        noisy, level = ncsn.perturbed(batch[0] / 2 + 0.5, sigmas, generator)
        options = {"kind": recipe.objective, "engine": recipe.engine, "generator": generator}
        return ncsn.noise_conditional_loss(net, noisy, level, sigmas, **options).mean()

    def exact(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        noisy, level = ncsn.perturbed(batch[0] / 2 + 0.5, sigmas, generator)
        options: dict[str, Any] = {"kind": recipe.objective, "engine": "jets", "derivative": "exact"}
        losses = ncsn.noise_conditional_loss(net, noisy, level, sigmas, slices=SLICES, generator=generator, **options)
        return losses.detach().mean()

    def measure(net: nn.Module) -> dict[str, float]:
        return {"test_loss": float(exact(net, (dataset.test,), step_generator(recipe.seed, -1)))}

    def store(net: nn.Module, out: Path) -> nn.Module:
        score_networks.save(net, config, out)
        return score_networks.load(out)[0]

    net = ncsn.network(**config["network"])
    settings = averaged(recipe).model_copy(update={"validate_every": recipe.validate_every})
    chosen: Any = {"splits": {"tuning": (dataset.tuning,)}, "metrics": {"exact": exact}}
    return Plan(net, loss, (dataset.train,), settings, measure=measure, store=store, **chosen)
