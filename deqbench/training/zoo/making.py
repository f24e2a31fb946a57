"""From a recipe to a model's folder: trained, measured and written."""

from pathlib import Path
from typing import Any

from deqbench.config import recipes
from deqbench.data.datasets import Dataset
from deqbench.training import stage
from deqbench.training.trainer import OnStep, train
from deqbench.training.zoo import autoencoders, classifiers, diffusion, latents, one_step, score_networks

PLANS: dict[str, Any] = {
    "diffusion": diffusion.plan,
    "classifier": classifiers.plan,
    "autoencoder": autoencoders.plan,
    "latent": latents.plan,
    "one-step": one_step.plan,
    "score-network": score_networks.plan,
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
    splits = {"train": plan.rows} | ({} if plan.tuning is None else {"tuning": plan.tuning})
    options: dict[str, Any] = {"about": about, "metrics": plan.metrics, "state": state, "on_step": on_step}
    trained = train(plan.net, plan.loss, splits, plan.settings, **options)
    net = plan.net
    net.load_state_dict(trained.weights)
    net.eval()
    metrics = plan.finish(net)
    metrics |= {f"{name}_fp32": value for name, value in plan.measure(net).items()}
    metrics |= {} if plan.tuning is None else {"step": float(trained.step)}
    metrics["parameters"] = sum(p.numel() for p in net.parameters())
    metrics |= {f"{name}_fp16_storage": value for name, value in plan.measure(plan.store(net, out)).items()}
    stage.write_history(out / "history.parquet", trained)
    state.unlink(missing_ok=True)
    return metrics
