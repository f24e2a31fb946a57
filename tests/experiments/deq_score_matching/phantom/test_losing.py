"""The shipped runaway: its losses, taken again, are those of its card, and the two have parted."""

import json

import pytest

from deqbench import zoo
from deqbench.experiments.deq_score_matching.phantom.config import Runaway
from deqbench.experiments.deq_score_matching.phantom.job import RunawayJob
from deqbench.experiments.deq_score_matching.phantom.losing import course, losses

JOB = RunawayJob(
    paper="deq-score-matching",
    experiment="runaway",
    seed=0,
    device="cpu",
    max_batch=8,
    dataset="winequality-white",
    runaway=Runaway(dataset="winequality-white", steps=[2, 32]),
)


@pytest.fixture(scope="module")
def taken() -> dict[str, float]:
    rows = [row for row in losses(JOB) if row["metric"] == "loss"]
    methods = {row["method"] for row in rows}
    return {method: _mean([row["value"] for row in rows if row["method"] == method]) for method in methods}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_losses_taken_again_are_those_of_the_card(taken):
    card = json.loads((zoo.path(JOB.runaway.model) / "card.json").read_text(encoding="utf-8"))
    for name, of in (("exact", "exact"), ("phantom", "phantom-2")):
        assert taken[of] == pytest.approx(card["metrics"][f"test_{name}_loss"], rel=1e-3)


def test_by_two_steps_the_loss_is_far_below_zero_and_the_true_one_above(taken):
    assert taken["phantom-2"] < -1000 < 0 < taken["exact"]
    assert abs(taken["phantom-32"] - taken["exact"]) < 0.05 * abs(taken["exact"])


def test_the_gap_of_each_row_is_its_phantom_loss_less_its_exact_one():
    rows = list(losses(JOB))
    exact, rough, gap = (
        [row["value"] for row in rows if (row["method"], row["metric"]) == key]
        for key in (("exact", "loss"), ("phantom-2", "loss"), ("phantom-2", "gap"))
    )
    assert gap == pytest.approx([b - a for a, b in zip(exact, rough, strict=True)])


def test_the_two_losses_agree_at_first_and_part_on_the_way():
    tuning = [row for row in course(JOB) if row["metric"] == "tuning_loss"]
    by_epoch = {
        method: {row["epoch"]: row["value"] for row in tuning if row["method"] == method}
        for method in ("exact", "phantom")
    }
    first, last = min(by_epoch["exact"]), max(by_epoch["exact"])
    assert by_epoch["phantom"][first] == pytest.approx(by_epoch["exact"][first], rel=0.05)
    assert by_epoch["phantom"][last] < by_epoch["exact"][last] - 500
