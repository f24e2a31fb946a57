"""Sections of the phantom gradient's studies: wrong names are refused with their key, and jobs are those of a scale."""

import copy
from typing import Any

import pytest

from deqbench import scale
from deqbench.errors import UserError
from tests.scales import smoke

PAPER = "papers.deq-score-matching"
SMOKE = smoke()
MADE = ("follow", "study", "runaway", "count")


def changed(place: str = "", value: Any = None) -> dict[str, Any]:
    """The smoke scale of this paper alone, with one value set: keys below the paper with slashes between them."""
    values = copy.deepcopy({**SMOKE, "papers": {"deq-score-matching": SMOKE["papers"]["deq-score-matching"]}})
    *outer, last = place.split("/")
    node = values["papers"]["deq-score-matching"]
    for key in outer:
        node = node[key]
    if place and value is None:
        del node[last]
    elif place:
        node[last] = value
    return values


def jobs(values: dict[str, Any]) -> dict[str, list[str]]:
    """The files of each stage of the kind."""
    steps = scale.validate(values, "some.yaml").steps
    mine = [step for step in steps if step.kind == "deq_score_matching.phantom"]
    return {step.stage.name: step.made for step in mine}


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("phantom-error/datasets", ["wine-red"], "phantom-error.datasets"),
        ("phantom-error/late", 2.0, "phantom-error.late"),
        ("table-10/models/nice/network", "nise", "table-10.models.nice.network"),
        ("table-10/models/nice/experiment", "vae-0", "table-10.models.nice.experiment"),
        ("table-10/starts", ["warm"], "table-10.starts.0"),
        ("propositions/draws", 1, "propositions.draws"),
        ("contraction/bounds", [1.0], "contraction.bounds.0"),
        ("unbounded/sharpness", [0], "unbounded.sharpness.0"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(place, value, key):
    with pytest.raises(UserError, match=rf"^some\.yaml: {PAPER}\.{key}: .*found "):
        scale.validate(changed(place, value), "some.yaml")


def test_every_part_is_made_by_its_job():
    made = jobs(changed())
    assert set(made) == set(MADE)
    assert {path.split("/")[3] for path in made["study"]} == {"propositions", "contraction", "unbounded"}
    assert {path.split("/")[3] for path in made["follow"]} == {"phantom-error", "table-10"}


@pytest.mark.parametrize(
    ("part", "stages"),
    [("phantom-error", {"follow"}), ("runaway", {"runaway"}), ("table-10", {"count"}), ("contraction", set())],
)
def test_a_part_that_a_scale_lacks_is_not_made(part, stages):
    made = jobs(changed(part))
    assert set(MADE) - set(made) == stages
    assert not any(f"/{part}/" in path for paths in made.values() for path in paths)


def test_without_the_main_part_nothing_is_made():
    assert jobs(changed("propositions")) == {}
