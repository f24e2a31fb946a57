"""Training of a kernel density model by phantom derivatives; its exact loss is measured on the way, and not used."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.config import recipes
from deqbench.config.recipes import Equilibrium, Preparation
from deqbench.data.preparing import prepared
from deqbench.data.splits import Dataset
from deqbench.records import read_json, write_json, write_tensors
from deqbench.score_matching.dkef import DKEF, Equilibria
from deqbench.score_matching.losses import score_matching_loss
from deqbench.training.settings import Optimisation
from deqbench.training.trainer import Batch
from deqbench.training.zoo.plan import Plan

BY: dict[str, dict[str, Any]] = {"phantom": {}, "exact": {"derivative": "exact"}}  # over the layers' own settings


def network(form: Equilibrium, points: Tensor, seed: int) -> DKEF:
    """The model at its start: weights by the seed, inducing points at rows (points, d)."""
    extractor = Equilibria(
        points.shape[1],
        form.width,
        copies=form.copies,
        skip=form.skip,
        bound=form.bound,
        generator=torch.Generator().manual_seed(seed),
        solver="picard",
        tol=0.0,
        atol=form.atol,
        max_iter=form.max_iter,
        derivative="phantom",
        steps=form.steps,
        adjoint="dense",
        adjoint_tol=1e-6,
    )
    return DKEF(extractor, points, copies=form.copies)


def started(form: Equilibrium, train: Tensor, seed: int) -> DKEF:
    """The same with inducing points drawn among the rows of train (N, d)."""
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[: form.points]
    return network(form, train[chosen], seed)


def made_ready(dataset: Dataset, preparation: Preparation) -> Dataset:
    """The data set with its rows as a density takes them."""
    return prepared(dataset, **preparation.model_dump())


def load(folder: Path) -> DKEF:
    """A stored model. UserError: its config cannot be read."""
    weights = load_file(folder / "model.safetensors")
    net = network(Equilibrium(**read_json(folder / "config.json")), torch.zeros_like(weights["points"]), seed=0)
    net.load_state_dict(weights)
    return net.eval()


def plan(recipe: recipes.DensityRecipe, dataset: Dataset, base: Path | None) -> Plan:
    """The training on the score-matching loss by phantom derivatives. base: unused."""
    data = made_ready(dataset, recipe.preparation)

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return score_matching_loss(net, batch[0], kind="sm")

    def measured(by: dict[str, Any]) -> Any:
        return lambda net, batch, generator: score_matching_loss(net, batch[0], kind="sm", **by).detach()

    def finish(net: nn.Module) -> dict[str, float]:
        return {f"test_{name}_loss": float(measured(by)(net, (data.test,), None)) for name, by in BY.items()}

    def store(net: nn.Module, out: Path) -> nn.Module:
        write_json(out / "config.json", recipe.form.model_dump())
        write_tensors(out / "model.safetensors", net.state_dict())
        return load(out)

    loop = recipe.model_dump(include={"steps", "batch", "lr", "seed", "validate_every"})
    return Plan(
        started(recipe.form, data.train, recipe.seed),
        loss,
        (data.train,),
        Optimisation(**loop),
        finish,
        store=store,
        splits={"tuning": (data.tuning,), "test": (data.test,)},
        metrics={name: measured(by) for name, by in BY.items()},
    )
