"""From a recipe to a model's folder: trained, measured and written."""

import math
from pathlib import Path
from typing import Any

from deqbench.config import recipes
from deqbench.data.datasets import Dataset
from deqbench.records import write_json
from deqbench.training import stage
from deqbench.training.trainer import OnStep, Trained, train
from deqbench.training.zoo import autoencoders, classifiers, densities, diffusion, latents, one_step, score_networks

PLANS: dict[str, Any] = {
    "diffusion": diffusion.plan,
    "classifier": classifiers.plan,
    "autoencoder": autoencoders.plan,
    "latent": latents.plan,
    "one-step": one_step.plan,
    "score-network": score_networks.plan,
    "density": densities.plan,
}


def make(
    recipe: recipes.AnyRecipe, dataset: Dataset, base: Path | None, out: Path, on_step: OnStep
) -> dict[str, float]:
    """Trains by the recipe, writes weights, configs and history into `out`, and gives the metrics of the card.

    base: folder of the model that the recipe builds on. A killed run goes on where it stopped. UserError: the base is
    not one that loads, or as for `train`.
    """
    plan, state = PLANS[recipe.kind](recipe, dataset, base), stage.progress_file(out)
    about = recipe.model_dump()
    splits = {"train": plan.rows, **plan.splits}
    trained = train(
        plan.net, plan.loss, splits, plan.settings, about=about, metrics=plan.metrics, state=state, on_step=on_step
    )
    net = plan.net
    net.load_state_dict(trained.weights)
    net.eval()
    metrics = plan.finish(net)
    metrics |= {f"{name}_fp32": value for name, value in plan.measure(net).items()}
    metrics["parameters"] = sum(p.numel() for p in net.parameters())
    metrics |= {f"{name}_fp16_storage": value for name, value in plan.measure(plan.store(net, out)).items()}
    stage.write_history(out / "history.parquet", trained)
    if plan.metrics:
        write_json(out / "course.json", course(trained, recipe.batch / len(plan.rows[0])))
    state.unlink(missing_ok=True)
    return metrics


def course(trained: Trained, epochs: float) -> dict[str, list[Any]]:
    """Columns of what was measured at each validation, finite values only; epochs: of one update."""
    rows = [row for row in trained.history if row[1] != "train" and math.isfinite(row[3])]
    columns = dict(zip(stage.HISTORY, map(list, zip(*rows, strict=True)), strict=True))
    return {"epoch": [round(step * epochs, 3) for step in columns["step"]], **columns}
