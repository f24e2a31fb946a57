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
    """The training on images taken to [0, 1]; the derivative of an equilibrium is the recipe's. base: none is needed."""
    network = {"channels": dataset.shape[0], **recipe.network}
    levels: Any = {**recipe.sigmas, "levels": int(recipe.sigmas["levels"])}
    config = {"network": {**network, "levels": levels["levels"]}, "sigmas": levels}
    sigmas = langevin.geometric(**levels)

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        noisy, level = ncsn.perturbed(batch[0] / 2 + 0.5, sigmas, generator)
        options = {"kind": recipe.objective, "engine": recipe.engine, "generator": generator}
        return ncsn.noise_conditional_loss(net, noisy, level, sigmas, **options).mean()

    def measure(net: nn.Module) -> dict[str, float]:
        generator = step_generator(recipe.seed, -1)
        noisy, level = ncsn.perturbed(dataset.test / 2 + 0.5, sigmas, generator)
        options: dict[str, Any] = {"kind": recipe.objective, "engine": "jets", "derivative": "exact"}
        losses = ncsn.noise_conditional_loss(net, noisy, level, sigmas, slices=SLICES, generator=generator, **options)
        return {"test_loss": float(losses.detach().mean())}

    def store(net: nn.Module, out: Path) -> nn.Module:
        score_networks.save(net, config, out)
        return score_networks.load(out)[0]

    net = ncsn.network(**config["network"])
    return Plan(net, loss, (dataset.train,), averaged(recipe), measure=measure, store=store)
