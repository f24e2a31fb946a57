"""A density trained by phantom derivatives until its loss by them is far below zero and its true loss far above."""

from collections.abc import Iterator
from typing import Any

from deqbench import zoo
from deqbench.config.recipes import DensityRecipe
from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.phantom.following import widest
from deqbench.experiments.deq_score_matching.phantom.job import RunawayJob
from deqbench.experiments.rows import Row
from deqbench.records import read_json
from deqbench.score_matching.losses import score_matching_loss
from deqbench.training.zoo.densities import load, made_ready


def losses(job: RunawayJob) -> Iterator[Row]:
    """Rows of the test split: the loss of each by exact derivatives and by K phantom steps, and the layers' norm."""
    folder = zoo.path(job.runaway.model)
    recipe, net = _recipe(folder), load(folder)
    rows = made_ready(datasets.build(recipe.dataset, **recipe.options), recipe.preparation).test
    by: dict[str, dict[str, Any]] = {"exact": {"derivative": "exact"}}
    by |= {f"phantom-{K}": {"derivative": "phantom", "steps": K} for K in job.runaway.steps}
    found = {
        method: score_matching_loss(net, rows, kind="sm", reduction="none", **settings).detach().double()
        for method, settings in by.items()
    }
    for method, each in found.items():
        by_metric = {"loss": each} if method == "exact" else {"loss": each, "gap": each - found["exact"]}
        for metric, values in by_metric.items():
            keys = {"method": method, "metric": metric, "unit": ""}
            yield from ({**keys, "row": row, "value": value} for row, value in enumerate(values.tolist()))
    yield {"method": "exact", "metric": "norm", "value": widest(net), "unit": "", "row": 0}


def course(job: RunawayJob) -> Iterator[Row]:
    """Rows by epoch and split of both losses in the course of the training, as they were measured then."""
    columns = read_json(zoo.path(job.runaway.model) / "course.json")
    for epoch, split, metric, value in zip(*(columns[n] for n in ("epoch", "split", "metric", "value")), strict=True):
        keys = {"method": metric, "metric": f"{split}_loss", "unit": ""}
        yield {**keys, "epoch": epoch, "seed": 0, "value": value}


def _recipe(folder: Any) -> DensityRecipe:
    """The recipe on a model's card. UserError: it is of another kind."""
    card = read_json(folder / "card.json")
    told = {**card["recipe"], "data_licence": card["data_licence"]}
    return DensityRecipe.model_validate(told)
