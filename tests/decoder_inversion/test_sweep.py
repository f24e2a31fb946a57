"""The sweep end to end on a small random autoencoder, its times, its frontier and its ladder."""

import numpy as np
import pandas as pd
import pytest
import torch

from deqbench import jobs
from deqbench.config.decoder import DecoderInverter, Model
from deqbench.config.decoder.sweep import Ladder
from deqbench.decoder_inversion import frontier, sweep, timing
from deqbench.decoder_inversion.codec import Codec, decibel, nmse
from deqbench.decoder_inversion.inverters import invert
from deqbench.decoder_inversion.targets import Targets
from tests.decoder_inversion.test_inverters import small_vae

INVERTERS = {
    "encoder": DecoderInverter(inverter="encoder"),
    "gradient": DecoderInverter(inverter="gradient", options={"optimizer": "adam"}, rates=[0.001, 0.05, 5.0]),
    "scheduled": DecoderInverter(inverter="adam", preset="free-paper"),
    "half": DecoderInverter(inverter="adam", options={"lr": 0.01}, precision="bf16", state="bf16"),
    "forward": DecoderInverter(inverter="forward", rates=[0.2, 1e-6], rate="rho"),
    "released": DecoderInverter(inverter="adam", preset="free-released", released=True),
}
BUDGETS = {"gradient": [2, 12], "scheduled": [4, 12], "half": [5], "forward": [3], "encoder": [3], "released": [4]}
LADDER = Ladder(baselines=["gradient"], step=0.5, within=4)


@pytest.fixture(scope="module")
def vae():
    return small_vae(3)


@pytest.fixture(scope="module")
def targets(vae) -> dict[str, Targets]:
    def made(seed: int, count: int) -> Targets:
        z = torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
        return Targets(z, Codec(vae).decode(z).detach(), torch.zeros(count, dtype=torch.int64))

    return {"tuning": made(0, 3), "test": made(1, 4)}


def job(**changes) -> jobs.decoder.SweepJob:
    model = Model(autoencoder="a", targets="codes", quantised=False)
    about = {"seed": 0, "name": "m", "model": model, "device": "cpu", "max_batch": 8}
    whole = {"inverters": INVERTERS, "budgets": BUDGETS, "all_rates": False, "dense": 3, "record_every": 5}
    whole |= {"images": None, "to_plateau": [], "plateau": 0.05, "within": 5}
    return jobs.decoder.SweepJob(**about, **{**whole, **changes})


@pytest.fixture(scope="module")
def found(vae, targets):
    return sweep.sweep(vae, targets, job())


@pytest.fixture(scope="module")
def traces(found) -> pd.DataFrame:
    return pd.concat(found.traces, ignore_index=True)


@pytest.fixture(scope="module")
def records(found) -> pd.DataFrame:
    return pd.DataFrame(found.records)


def test_the_chosen_rate_is_the_one_of_least_error_on_tuning_targets(vae, targets, records):
    for budget in (2, 12):
        errors = {
            rate: float(decibel(nmse(invert(
                "gradient", Codec(vae), targets["tuning"].x, None, {"lr": rate}, iterations=budget
            ), targets["tuning"].z)).mean())
            for rate in (0.001, 0.05, 5.0)
        }  # fmt: skip
        rows = records.query("method == 'gradient' and metric == 'rate' and iterations == @budget")
        assert set(rows["value"]) == {min(errors, key=errors.get)}


def test_a_scheduled_budget_is_a_run_of_its_own_and_the_others_one_run(traces):
    scheduled = traces[traces["method"] == "scheduled"]
    assert sorted(scheduled["budget"].unique()) == [4, 12]
    at = scheduled[(scheduled["iteration"] == 2) & (scheduled["image"] == 0)].set_index("budget")["nmse"]
    assert at[4] != at[12]
    assert traces[traces["method"] == "forward"]["budget"].unique().tolist() == [3]


def test_records_are_the_errors_of_the_iterates_at_the_declared_budgets(vae, targets, records):
    z = invert("adam", Codec(vae), targets["test"].x, None, {"lr": 0.01, "schedule": "warmup-cosine"}, iterations=4)
    own = nmse(z, targets["test"].z)
    rows = records[(records["method"] == "scheduled") & (records["iterations"] == 4)]
    of = {metric: part.sort_values("image")["value"].to_numpy() for metric, part in rows.groupby("metric")}
    np.testing.assert_allclose(of["nmse"], own, rtol=1e-5)
    np.testing.assert_allclose(of["nmse_db"], decibel(own), rtol=1e-5)
    assert of["nmse_mean_db"] == pytest.approx([float(decibel(own.mean()))], rel=1e-5)
    summary = rows[rows["metric"] == "nmse_mean_db"].iloc[0]
    assert summary["low"] < summary["value"] < summary["high"]
    assert summary["n"] == 4


def test_the_encoder_stands_at_every_declared_budget_and_is_every_methods_start(records, traces):
    encoder = records[(records["method"] == "encoder") & (records["metric"] == "nmse")]
    assert sorted(encoder["iterations"].unique()) == [2, 3, 4, 5, 12]
    assert encoder.groupby("image")["value"].nunique().eq(1).all()
    starts = traces[(traces["iteration"] == 0) & ~traces["method"].isin(["half", "released"])]
    np.testing.assert_allclose(starts.groupby("image")["nmse"].std(), 0, atol=1e-7)


def test_iterates_are_traced_densely_then_sparsely_and_at_budgets(traces):
    kept = traces[(traces["method"] == "gradient") & (traces["budget"] == 12)]["iteration"].unique()
    assert set(kept) <= {0, 1, 2, 3, 5, 10, 12}
    assert 12 in kept
    assert set(traces["image"]) == {0, 1, 2, 3}


def test_the_released_variant_starts_at_a_draw_of_the_encoder(traces):
    start = traces[traces["iteration"] == 0].set_index(["method", "image"])["nmse"]
    assert (start["released"] != start["encoder"]).any()


def test_all_rates_are_run_on_test_targets_where_that_is_asked(vae, targets):
    only = {"gradient": INVERTERS["gradient"]}
    frame = sweep.sweep(vae, targets, job(inverters=only, all_rates=True, budgets={"gradient": [3]})).traces[0]
    assert sorted(frame["rate"].unique()) == [0.001, 0.05, 5.0]
    assert frame[frame["chosen"]]["rate"].nunique() == 1


def test_a_method_named_for_it_stops_at_its_plateau_and_says_where(vae, targets):
    forward = {"forward": DecoderInverter(inverter="forward", options={"rho": 0.2})}
    budgets = {"forward": [10, 400]}
    whole = sweep.sweep(vae, targets, job(inverters=forward, budgets=budgets, record_every=2)).traces[0]
    level = (10 * np.log10(whole.set_index("iteration")["nmse"])).groupby(level=0).mean()
    drop = float(level[10] - level[20])  # less than this is first gained somewhere after 20
    ended = sweep.sweep(
        vae,
        targets,
        job(inverters=forward, budgets=budgets, record_every=2, to_plateau=["forward"], plateau=drop, within=10),
    )
    last = int(ended.traces[0]["iteration"].max())
    gained = {k: float(level[k - 10] - level[k]) for k in level.index if k >= 10 and k - 10 in level.index}
    assert last == min(k for k, gain in gained.items() if gain < drop) < 400
    rows = pd.DataFrame(ended.records).query("metric == 'iterations_run'").set_index("iterations")["value"]
    assert rows.to_dict() == {10: 10, 400: last}


def test_a_scheduled_method_runs_to_its_budget_whatever_it_gains(vae, targets):
    frozen = {"s": DecoderInverter(inverter="adam", options={"lr": 1e-9, "schedule": "warmup-cosine"})}
    found = sweep.sweep(
        vae, targets, job(inverters=frozen, budgets={"s": [20]}, to_plateau=["s"], plateau=1.0, within=5)
    ).traces[0]
    assert found["iteration"].max() == 20


def test_a_sweep_may_leave_out_the_last_test_targets(vae, targets, traces):
    only = {"forward": DecoderInverter(inverter="forward", options={"rho": 0.2})}
    few, all_of_them = (
        sweep.sweep(vae, targets, job(inverters=only, images=n)).traces[0].set_index(["iteration", "image"])["nmse"]
        for n in (2, None)
    )
    assert len(all_of_them) == 2 * len(few)
    np.testing.assert_allclose(few, all_of_them[few.index], rtol=1e-4)


def test_times_hold_every_method_budget_and_image_and_reach_beyond_by_lines(vae, targets):
    about = jobs.decoder.DecoderJob(**{name: getattr(job(), name) for name in jobs.decoder.DecoderJob.model_fields})
    timed = jobs.decoder.TimeSweep(
        models={"m": about}, inverters=INVERTERS, methods={"m": ["encoder", "forward"]},
        budgets={"encoder": [1, 3], "forward": [1, 3]}, images={"m": 2},
    )  # fmt: skip
    rows = pd.DataFrame(timing.times("m", vae, targets["test"], timed))
    assert len(rows) == 2 * 2 * 2
    assert (rows["value"] > 0).all()
    known = pd.DataFrame({"method": "a", "iterations": [0, 1, 3, 3], "value": [1.0, 2.0, 5.0, 7.0]})
    np.testing.assert_allclose(timing.seconds(known, "a", np.array([0, 1, 2, 3, 10])), [1, 2, 4, 6, 20])
    with pytest.raises(ValueError, match="two timed budgets of b"):
        timing.seconds(known, "b", np.array([1]))


def test_the_frontier_holds_what_nothing_else_beats():
    cost = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 1.0])
    error = np.array([5.0, 3.0, 4.0, 3.0, 1.0, 6.0])
    beaten = [any((cost <= c) & (error <= e) & ((cost < c) | (error < e))) for c, e in zip(cost, error, strict=True)]
    assert frontier.frontier(cost, error).tolist() == [not found for found in beaten]


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
