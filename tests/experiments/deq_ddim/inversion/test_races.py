"""Seconds of inversions, and loss against seconds, counted by hand."""

import itertools

import pandas as pd

from deqbench.experiments.deq_ddim.inversion import races
from deqbench.experiments.deq_ddim.inversion.config import Chains
from deqbench.experiments.deq_ddim.inversion.job import RaceJob, TimeJob
from deqbench.measure import clock
from tests.experiments.deq_ddim.inversion.digits import METHODS, SEED, T, metric


def timing(**chains):
    share = {
        "images": 3,
        "epochs": [1],
        "inverters": list(METHODS),
        "timed": 1,
        "timed_epochs": 2,
        "raced": 2,
        **chains,
    }
    return TimeJob(
        paper="deq-ddim",
        experiment="table-3",
        seed=SEED,
        device="cpu",
        max_batch=64,
        grids={"digits": "uniform-released"},
        inverters=METHODS,
        rate=0.01,
        eta=[],
        chains={"digits": {T: Chains(**share)}},
    )


def test_an_update_is_timed_without_the_first_and_a_whole_run_with_its_start(network, data, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(clock, "now", lambda device: float(next(ticks)))
    ((records, steps),) = races.times(network, data, timing(), "digits")
    frame = pd.DataFrame(records)
    assert metric(frame, "algorithm-1", "epoch_s") == [1.0]  # a tick an update: four told, the first two left out
    assert metric(frame, "from-encoding", "start_s") == [1.0]
    assert len(metric(frame, "encoding", "total_s")) == 2  # of each image raced
    seen = {(row["method"], row["step"], row["value"]) for row in steps}  # ticks: asked for at 1, told at 2 and 3
    assert seen == {("encoding", 0, 2.0), ("encoding", T, 3.0)}


def frames():
    """Two images: the baseline ends at 1.0 and 2.0 after 4 updates of 2 s; `fast` is there after 1 s, or never.

    Of `fast` step 2 of image 0 was not traced: its loss is the smallest that the run has seen.
    """
    about = {"dataset": "digits", "T": T}
    losses = {
        ("slow", 0): [9, 5, 3, 2, 1.0],
        ("slow", 1): [9, 8, 7, 6, 2.0],
        ("brief", 0): [9, 4],
        ("brief", 1): [9, 1.5],
        ("fast", 0): [9, 0.5],
        ("fast", 1): [9, 3.0, 2.9],  # alone it ended one step sooner
        ("untimed", 0): [0.0],
    }
    traces = [
        {**about, "method": m, "image": i, "epoch": e, "metric": "loss", "value": v, "chosen": True, "unit": ""}
        for (m, i), values in losses.items()
        for e, v in enumerate(values)
    ]
    traces += [{**traces[0], "value": 0.0, "chosen": False}, {**traces[0], "value": 0.0, "metric": "solver_loss"}]
    least = [
        {**about, "method": m, "image": i, "metric": "min_loss", "value": v}
        for m, values in {"slow": (1.0, 2.0), "fast": (0.1, 2.9)}.items()
        for i, v in enumerate(values)
    ]
    times = [{**about, "method": "slow", "image": 0, "metric": "epoch_s", "value": v} for v in (1.0, 3.0)]
    times += [{**about, "method": "brief", "image": 0, "metric": "epoch_s", "value": 3.0}]
    times += [{**about, "method": "brief", "image": 0, "metric": "start_s", "value": 0.5}]
    steps = [
        {**about, "method": "fast", "image": i, "step": n, "metric": "elapsed_s", "value": s, "unit": "s"}
        for i, n, s in ((0, 0, 0.1), (0, 1, 1.0), (0, 2, 5.0), (1, 0, 0.1), (1, 1, 1.0))
    ]
    return tuple(pd.DataFrame(rows) for rows in (least, traces, times, steps))


def raced(**changes):
    settings = {"paper": "deq-ddim", "experiment": "table-3", "baseline": "slow", "baseline_encoded": None}
    settings |= {"encoded": [], "descents": ["slow", "brief"], **changes}
    return races.race(*frames(), RaceJob(**settings))


def test_the_race_says_when_each_has_what_the_baseline_ends_with():
    found, curves = raced()
    assert metric(found, "slow", "time_to_s") == [8.0, 8.0]
    assert metric(found, "fast", "time_to_s") == [1.0]  # no row for the image where it never is
    assert metric(found, "fast", "reached_baseline") == [1, 0]
    assert metric(found, "brief", "reached_baseline") == [0, 1]
    assert metric(found, "brief", "time_to_s") == [3.5]  # its start counts
    assert sorted(set(curves["method"])) == ["brief", "fast", "slow"]
    assert curves["value"].min() == 0.1  # neither losses at other rates nor the method's own
    fast = curves[curves["method"] == "fast"]
    assert list(zip(fast["image"], fast["seconds"], fast["value"], strict=True)) == [
        (0, 0.1, 9.0),
        (0, 1.0, 0.5),
        (0, 5.0, 0.1),
        (1, 0.1, 9.0),
        (1, 1.0, 3.0),
    ]


def test_equal_seconds_are_the_shortest_that_a_descent_takes_for_as_many_updates_as_the_baseline():
    found, _ = raced()
    assert set(metric(found, "slow", "equal_seconds")) == {8.0}  # brief's single update does not count
    assert metric(found, "slow", "equal_seconds_loss") == [1.0, 2.0]
    assert metric(found, "fast", "equal_seconds_loss") == [0.1, 3.0]
    assert metric(found, "brief", "equal_seconds_loss") == [4.0, 1.5]
    found, _ = raced(baseline="brief")
    assert set(metric(found, "slow", "equal_seconds")) == {3.5}
    assert metric(found, "slow", "equal_seconds_loss") == [5.0, 8.0]


def test_methods_that_start_at_the_encoding_race_their_own_baseline_too():
    found, _ = raced(baseline_encoded="slow", encoded=["fast"])
    assert metric(found, "fast", "time_to_encoded_s") == [1.0]
    assert metric(found, "fast", "reached_encoded") == [1, 0]
    assert metric(found, "brief", "reached_encoded") == []
