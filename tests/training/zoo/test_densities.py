"""A density trained by phantom derivatives for the zoo: its course tells both losses, and it comes back as it was."""

import json

import pytest
import torch

from deqbench.config.recipes import DensityRecipe
from deqbench.data import datasets
from deqbench.score_matching.losses import score_matching_loss
from deqbench.training.zoo import making
from deqbench.training.zoo.densities import load, made_ready, started

RECIPE = DensityRecipe.model_validate(
    {
        "kind": "density",
        "dataset": "table",
        "options": {"name": "wine"},
        "form": {"width": 5, "copies": 2, "points": 6},
        "steps": 9,
        "batch": 20,
        "lr": 1e-2,
        "validate_every": 4,
        "data_licence": "none",
    }
)


@pytest.fixture(scope="module")
def dataset():
    return datasets.build(RECIPE.dataset, **RECIPE.options)


@pytest.fixture(scope="module")
def made(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("density")
    metrics = making.make(RECIPE, dataset, None, out, lambda step, loss: None)
    return out, metrics


def test_both_losses_are_told_on_all_rows_that_no_update_sees(made):
    course = json.loads((made[0] / "course.json").read_text())
    assert set(course) == {"epoch", "step", "split", "metric", "value"}
    assert sorted(set(zip(course["split"], course["metric"], strict=True))) == [
        (split, metric) for split in ("test", "tuning") for metric in ("exact", "phantom")
    ]
    rows = len(datasets.build("table", name="wine").train)
    assert course["step"][0] == 4 and course["epoch"][0] == round(4 * 20 / rows, 3) and course["step"][-1] == 9


def test_the_stored_model_has_the_losses_of_its_card(made, dataset):
    out, metrics = made
    test = made_ready(dataset, RECIPE.preparation).test
    for name in ("phantom", "exact"):
        found = score_matching_loss(load(out), test, kind="sm", derivative=name, steps=RECIPE.form.steps)
        assert metrics[f"test_{name}_loss"] == pytest.approx(float(found.detach()), rel=1e-5)
    assert metrics["parameters"] == sum(p.numel() for p in load(out).parameters())


def test_the_model_starts_at_rows_of_train_and_by_its_seed(dataset):
    train = made_ready(dataset, RECIPE.preparation).train
    first, again, other = (started(RECIPE.form, train, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.points, other.points)
    assert all((train == point).all(1).any() for point in first.points)


def test_the_weights_are_those_of_the_least_phantom_loss_on_tuning_rows(made, dataset):
    course = json.loads((made[0] / "course.json").read_text())
    phantom = [
        value
        for split, metric, value in zip(course["split"], course["metric"], course["value"], strict=True)
        if (split, metric) == ("tuning", "phantom")
    ]
    tuning = made_ready(dataset, RECIPE.preparation).tuning
    found = score_matching_loss(load(made[0]), tuning, kind="sm")
    assert float(found.detach()) == pytest.approx(min(phantom), rel=1e-4)
