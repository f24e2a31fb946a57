"""Costs on the shipped digits network, at the smallest sizes: what they count, against what is known."""

import pandas as pd
import pytest
import torch

from deqbench.experiments.deq_ddim.costs import measure
from deqbench.experiments.deq_ddim.costs.config import Costs
from deqbench.experiments.deq_ddim.costs.job import TimeJob
from deqbench.experiments.deq_ddim.shared import Method
from tests.experiments.deq_ddim.smoke import ABOUT, WEIGHTS, cell, silent

METHODS = {
    "ddim": Method(sampler="sequential"),
    "picard": Method(sampler="joint", options={"solver": "picard", "max_iter": 4, "tol": 0.0}),
}


@pytest.fixture(scope="module")
def costs():
    section = Costs(methods=list(METHODS), T=[10], images=[1, 3], calibration=1, repeats=2, devices=[8, 64])
    job = TimeJob(**ABOUT | {"max_batch": 16}, experiment="costs", methods=METHODS, costs=section)
    return pd.DataFrame(measure.time(job, WEIGHTS, silent)["records"])


def test_every_method_is_measured_predicted_and_compared(costs):
    for batch in (1, 3):
        for method in METHODS:
            here = {"batch": batch, "method": method}
            seconds, (predicted,) = cell(costs, metric="time_s", **here), cell(costs, metric="predicted_s", **here)
            assert len(seconds) == 2 and min(seconds) > 0
            (ratio,) = cell(costs, metric="predicted_ratio", **here)
            assert ratio == pytest.approx(predicted / pd.Series(seconds).median())


def test_the_joint_solve_holds_a_state_for_every_step(costs):
    image = 8 * 8 * 4
    for batch in (1, 3):
        walked, _ = cell(costs, metric="state_bytes", batch=batch, method="ddim")
        solved, _ = cell(costs, metric="state_bytes", batch=batch, method="picard")
        assert batch * image <= walked <= 8 * batch * image
        assert solved >= 10 * batch * image


def test_a_device_with_room_favours_fewer_rounds(costs):
    near, far = (cell(costs, metric=f"projected_{free}", batch=1, method="picard")[0] for free in (8, 64))
    assert 0 < near < far  # rounds of ten states do not fit on the first one


def test_no_row_is_named_after_a_choice_of_the_clock_and_a_fallback_has_no_speed_up(costs):
    for _, part in costs[costs["T"] > 1].groupby("batch"):
        assert set(part["method"]) == {*METHODS, "plan", "forced"}
        assert set(part.loc[part["method"] == "plan", "metric"]) in ({"fallback"}, {"speed_up"})
        forced = part[part["method"] == "forced"]
        assert set(forced["metric"]) == {"speed_up"} and set(forced["note"]) == {"picked picard"}


def test_calls_are_watched_and_memory_inside_the_network_is_not():
    watched = measure.Watched(lambda x, t: torch.zeros(1000, 1000).sum() + x)
    with measure.LiveBytes() as live:
        watched(torch.zeros(3, 4), torch.zeros(3))
    assert watched.calls == [3] and watched.seconds > 0
    assert live.peak < 1000
