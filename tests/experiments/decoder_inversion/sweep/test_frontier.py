"""The ladder, the middle level and run times from traces and seconds made by hand."""

import numpy as np
import pandas as pd
import pytest

from deqbench.experiments.decoder_inversion.sweep import frontier
from deqbench.experiments.decoder_inversion.sweep.config import Ladder


def ladder_traces() -> pd.DataFrame:
    """Two images; the baseline falls by 1 dB an iteration to -6, ours by 2 to -8; image 1 lies 1 dB higher."""
    rows = [
        {"method": m, "precision": "fp32", "rate": 1.0, "budget": 6, "iteration": k, "image": i, "chosen": True,
         "nmse": 10 ** ((max(-by * k, least) + i) / 10), "residual": 0.1, "loss": 0.1}
        for m, by, least in (("gradient", 1, -6), ("ours", 2, -8)) for k in range(7) for i in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


TIMES = pd.DataFrame(
    [
        {"method": m, "iterations": k, "image": 0, "value": v * k}
        for m, v in (("gradient", 2.0), ("ours", 1.0))
        for k in (0, 1, 2)
    ]
)


def test_the_ladder_tells_seconds_to_each_level_and_who_never_gets_there():
    clocked = frontier.clocked(ladder_traces(), TIMES)
    rows = pd.DataFrame(frontier.climb(clocked, Ladder(baselines=["gradient"], within=2)))
    time = rows[rows["metric"] == "time_s"].set_index(["method", "level", "image"])["value"]
    assert sorted(rows["level"].unique()) == [-7, -6, -5, -4, -3, -2, -1, 0]
    assert time["gradient", -4, 0] == pytest.approx(8)
    assert time["ours", -4, 0] == pytest.approx(2)
    assert time["ours", -4, 1] == pytest.approx(3)
    assert np.isnan(time["gradient", -7, 0])
    reached = rows[rows["metric"] == "reached"].set_index(["method", "level", "image"])["value"]
    assert reached["gradient", -6, 0] == 1
    assert reached["gradient", -6, 1] == 0


def test_against_a_baseline_the_middle_level_the_plateau_and_equal_seconds_are_told():
    clocked = frontier.clocked(ladder_traces(), TIMES)
    rows = pd.DataFrame(frontier.midway(clocked, Ladder(baselines=["gradient"], within=2)))
    value = rows.set_index(["metric", "method", "image"])["value"]
    assert value["midway_db", "ours", 1] == pytest.approx(-2)
    assert value["midway_s", "gradient", 0] == pytest.approx(6)
    assert value["midway_s", "ours", 0] == pytest.approx(2)
    assert value["speedup", "ours", 0] == pytest.approx(3)
    assert value["ends_lower_db", "ours", 0] == pytest.approx(2)
    assert value["gain_db", "ours", 0] == pytest.approx(2)  # within 12 s it has made all its 6 iterations
    assert value["plateau_drop_db", "gradient", 0] == pytest.approx(2)
    assert value["plateau_at", "gradient", 1] == 6
    assert ("plateau_drop_db", "ours", 0) not in value.index


def test_a_baseline_that_ended_at_its_plateau_before_its_budget_is_compared_where_it_ended():
    traces = ladder_traces().replace({"budget": {6: 50}})
    rows = pd.DataFrame(frontier.midway(frontier.clocked(traces, TIMES), Ladder(baselines=["gradient"], within=2)))
    value = rows.set_index(["metric", "method", "image"])["value"]
    assert value["gain_db", "ours", 0] == pytest.approx(2)
    assert value["gain_db", "gradient", 1] == pytest.approx(0)


def test_an_image_that_diverged_is_not_left_out_of_a_setting():
    traces = ladder_traces()
    traces.loc[(traces["method"] == "ours") & (traces["iteration"] == 6) & (traces["image"] == 0), "nmse"] = np.nan
    points = frontier.points(frontier.clocked(traces, TIMES))
    assert points.query("method == 'ours'")["iteration"].max() == 5


def test_run_times_are_extended_to_the_declared_budgets():
    budgets = {"gradient": [4], "ours": [2, 4]}
    rows = pd.DataFrame(frontier.runtimes(TIMES, budgets, {"gradient": 4, "ours": 4}))
    assert rows.set_index(["method", "iterations"])["value"].to_dict() == pytest.approx(
        {("gradient", 4): 8.0, ("ours", 2): 2.0, ("ours", 4): 4.0}
    )
    rows = pd.DataFrame(frontier.runtimes(TIMES, budgets, {"gradient": 3, "ours": 0}))
    assert rows.set_index(["method", "iterations"])["value"].to_dict() == pytest.approx(
        {("gradient", 4): 6.0, ("ours", 2): 0.0, ("ours", 4): 0.0}
    ), "a run that stopped at 3 takes the seconds of 3, an encoder those of its start"
