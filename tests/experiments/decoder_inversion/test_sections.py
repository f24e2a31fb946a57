"""Sections of the paper: a name that is not there is one sentence with its key, and slices hold what jobs need."""

import copy
from typing import Any

import pytest

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.experiments.stage import Step
from tests.scales import smoke

PAPER = "papers.decoder-inversion"
SMOKE = smoke()


def changed(place: str, value: Any) -> dict[str, Any]:
    """The smoke scale of this paper alone with one value set. place: keys below the paper with slashes between them."""
    values = copy.deepcopy({**SMOKE, "papers": {"decoder-inversion": SMOKE["papers"]["decoder-inversion"]}})
    *outer, last = place.split("/")
    node = values["papers"]["decoder-inversion"]
    for key in outer:
        node = node[float(key) if key[0].isdigit() else key]
    node[last] = value
    return values


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("models/latent/autoencoder", "patches-va", "models.latent.autoencoder"),
        ("models/latent/denoiser", "patches-laten", "models.latent.denoiser"),
        ("inverters/ours/inverter", "our", "inverters.ours.inverter"),
        ("inverters/free-paper/preset", "free-papers", "inverters.free-paper.preset"),
        ("inverters/forward-large/options", {"roh": 2.5}, "inverters.forward-large.options.roh"),
        ("sweep/models/latent/inverters", ["encoder", "our"], "sweep.models.latent.inverters"),
        ("sweep/models/latent/limits", {"our": [2]}, "sweep.models.latent.limits"),
        ("sweep/models/laten", {"inverters": ["ours"], "budgets": 2}, "sweep.models"),
        ("sweep/ladder/baselines", ["gradient"], "sweep.ladder.baselines"),
        ("sweep/timed_more", {"our": [1, 2]}, "sweep.timed_more"),
        ("watermark/gradient", "gradient", "watermark.gradient"),
        ("watermark/models/latent/guidance/7.5", {"gradient": 1}, "watermark.models.latent.guidance.7.5"),
        ("watermark/models/latent/inversions", ["naiv"], "watermark.models.latent.inversions"),
        ("watermark/models/latent/timed_guidance", 3.0, "watermark.models.latent.timed_guidance"),
        ("editing/models/latent/baseline", "gradient", "editing.models.latent.baseline"),
        ("cocoercivity/models", ["laten"], "cocoercivity.models"),
        ("cocoercivity/figures/figure-4/inverters", ["adam"], "cocoercivity.figures.figure-4.inverters"),
        ("theorems/zero", "andersen", "theorems.zero"),
        ("precision/inverters", ["froward"], "precision.inverters"),
        ("memory/models", ["laten"], "memory.models"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_its_key(place: str, value: Any, key: str) -> None:
    with pytest.raises(UserError, match=rf"^some\.yaml: {PAPER}\.{key}: .*found "):
        scale.validate(changed(place, value), "some.yaml")


PLAIN = changed("memory/pixels", [64])


def step(values: dict[str, Any], name: str) -> Step:
    return next(step for step in scale.validate(values, "some.yaml").steps if step.rule == f"decoder_inversion_{name}")


def settings(values: dict[str, Any]) -> dict[tuple[str, str], str]:
    """The slices of all jobs by rule and place."""
    return {
        (step.rule.removeprefix("decoder_inversion_"), str(place)): step.stage.job(
            step.scope, **place
        ).model_dump_json()
        for step in scale.validate(values, "some.yaml").steps
        for place in step.places
    }


def test_a_slice_holds_a_presets_numbers_and_not_its_name() -> None:
    sweep = step(PLAIN, "sweep_sweep")
    inverter = sweep.stage.job(sweep.scope, "latent").inverters["gradient-paper"]
    assert inverter.preset is None
    assert inverter.options == papers.preset("decoder-inversion", "gradient-paper")


@pytest.mark.parametrize(
    ("place", "value", "touched"),
    [
        ("editing/models/latent/shown", 2, {"editing_edit"}),
        ("watermark/models/latent/timed", 2, {"watermark_watermark", "watermark_time"}),
        ("precision/updates", 2, {"cocoercivity_cocoercivity"}),
        ("frames/held_out", 4, {"memory_memory"}),
        ("sweep/ladder/step", 2.0, {"sweep_ladder"}),
        ("sweep/timed_iterations", [1, 3], {"sweep_times"}),
        ("inverters/km-mild/options", {"alpha": 0.3, "step": 0.4}, {"cocoercivity_cocoercivity"}),
    ],
)
def test_an_edit_reaches_only_the_jobs_that_it_is_about(place: str, value: Any, touched: set[str]) -> None:
    before, after = settings(PLAIN), settings(changed(place, value))
    assert before.keys() == after.keys()
    assert {rule for rule, at in before if before[rule, at] != after[rule, at]} == touched


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ("theorems", "cocoercivity_cocoercivity"),
        ("precision", "cocoercivity_cocoercivity"),
        ("frames", "memory_memory"),
    ],
)
def test_an_experiment_of_a_job_of_several_is_made_where_a_scale_has_it(part: str, rule: str) -> None:
    values = copy.deepcopy(PLAIN)
    assert any(f"/{part}/" in path for path in step(values, rule).made)
    del values["papers"]["decoder-inversion"][part]
    assert not any(f"/{part}/" in path for path in step(values, rule).made)
