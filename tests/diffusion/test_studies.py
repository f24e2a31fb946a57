"""Studies on the shipped digits network, at the smallest sizes: what they count, against what is known."""

import pandas as pd
import pytest
import torch

from deqbench import jobs, zoo
from deqbench.config import Method
from deqbench.config.studies import Costs, Cycles, Workers
from deqbench.data import checkpoints
from deqbench.diffusion import studies

ABOUT = {"seed": 3, "dataset": "digits", "grid": "uniform-released", "device": "cpu", "max_batch": 16}
METHODS = {
    "ddim": Method(sampler="sequential"),
    "picard": Method(sampler="joint", options={"solver": "picard", "max_iter": 4, "tol": 0.0}),
}


@pytest.fixture(scope="module")
def network():
    return checkpoints.load(zoo.path("digits"))


@pytest.fixture(scope="module")
def costs(network):
    section = Costs(methods=list(METHODS), T=[10], images=[1, 3], calibration=1, repeats=2, devices=[8, 64])
    return pd.DataFrame(studies.costs(network, jobs.CostsJob(**ABOUT, methods=METHODS, costs=section)))


def cell(frame, **keys):
    for key, value in keys.items():
        frame = frame[frame[key] == value]
    return frame["value"].tolist()


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


def test_a_fallback_has_no_speed_up(costs):
    rows = costs[costs["method"].str.startswith("plan-")]
    for _, part in rows.groupby("batch"):
        fallback = "plan-fallback" in set(part["method"])
        assert set(part["metric"]) == ({"fallback"} if fallback else {"speed_up"})
    assert cell(costs, method="forced-picard", metric="speed_up")


def test_calls_are_watched_and_memory_inside_the_network_is_not(network):
    watched = studies.Watched(lambda x, t: torch.zeros(1000, 1000).sum() + x)
    with studies.LiveBytes() as live:
        watched(torch.zeros(3, 4), torch.zeros(3))
    assert watched.calls == [3] and watched.seconds > 0
    assert live.peak < 1000


def test_a_solve_that_settles_is_told_from_one_that_goes_round(network, monkeypatch):
    section = Cycles(methods=["picard"], runs={10: 2}, rounds=24)
    job = jobs.CyclesJob(**ABOUT, methods={"picard": METHODS["picard"]}, cycles=section)
    found = pd.DataFrame(studies.cycles(network, job))
    assert cell(found, metric="cycling") == [0.0, 0.0]
    assert max(cell(found, metric="x0_error_last")) < 1e-4

    def rounding(name, made, options, on_round=None):
        if name == "sequential":
            return found_x0
        for k in range(1, 25):
            size = torch.tensor([1.0 + 0.1 * (k % 3)], dtype=torch.float64)
            on_round(studies.Round(number=k, x0=torch.ones(1, 1, 8, 8), absolute=size, relative=size))
        return found_x0

    found_x0 = type("Sampled", (), {"x0": torch.full((1, 1, 8, 8), 2.0)})
    monkeypatch.setattr(studies, "sample", rounding)
    found = pd.DataFrame(studies.cycles(network, job))
    assert cell(found, metric="cycling") == [1.0, 1.0]
    assert cell(found, metric="x0_error_last") == [0.5, 0.5]


def test_workers_are_timed(network):
    section = Workers(method="picard", T=[10], workers=[1, 2], repeats=2)
    rows = pd.DataFrame(
        studies.workers(jobs.WorkersJob(**ABOUT, method=METHODS["picard"], workers=section), zoo.path("digits"))
    )
    assert rows.groupby("method")["value"].count().to_dict() == {"workers-1": 2, "workers-2": 2}
    assert (rows["value"] > 0).all()
