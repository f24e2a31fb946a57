"""The sweep end to end on a small random autoencoder, and its times."""

import numpy as np
import pandas as pd
import pytest
import torch

from deqbench import papers
from deqbench.decoder_inversion.codec import Codec, decibel, nmse
from deqbench.decoder_inversion.inverters import invert
from deqbench.experiments.decoder_inversion.shared import Inverter, Model
from deqbench.experiments.decoder_inversion.sweep import measure, timing
from deqbench.experiments.decoder_inversion.sweep.job import SweepJob, Timed, TimesJob
from deqbench.experiments.decoder_inversion.target_files import Targets
from tests.decoder_inversion.tiny import small_vae

INVERTERS = {
    "encoder": Inverter(inverter="encoder"),
    "gradient": Inverter(inverter="gradient", options={"optimizer": "adam"}, rates=[0.001, 0.05, 5.0]),
    "scheduled": Inverter(inverter="adam", options=papers.preset("decoder-inversion", "free-paper")),
    "half": Inverter(inverter="adam", options={"lr": 0.01}, precision="bf16", state="bf16"),
    "forward": Inverter(inverter="forward", rates=[0.2, 1e-6], rate="rho"),
    "released": Inverter(inverter="adam", options=papers.preset("decoder-inversion", "free-released"), released=True),
}
BUDGETS = {"gradient": [2, 12], "scheduled": [4, 12], "half": [5], "forward": [3], "encoder": [3], "released": [4]}
ABOUT = {"paper": "decoder-inversion", "experiment": "sweep", "seed": 0, "device": "cpu", "max_batch": 8}
MODEL = Model(autoencoder="a", targets="codes", quantised=False)


@pytest.fixture(scope="module")
def vae():
    return small_vae(3)


@pytest.fixture(scope="module")
def targets(vae) -> dict[str, Targets]:
    def made(seed: int, count: int) -> Targets:
        z = torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
        return Targets(z, Codec(vae).decode(z).detach(), torch.zeros(count, dtype=torch.int64))

    return {"tuning": made(0, 3), "test": made(1, 4)}


def job(**changes) -> SweepJob:
    whole = {"inverters": INVERTERS, "budgets": BUDGETS, "all_rates": False, "dense": 3, "record_every": 5}
    whole |= {"images": None, "to_plateau": [], "plateau": 0.05, "within": 5}
    return SweepJob(**ABOUT, dataset="m", model=MODEL, **{**whole, **changes})


def swept(vae, targets, work: SweepJob) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and traces."""
    done = []
    rows, frame = measure.swept(vae, targets, work, lambda *steps: done.append(steps))
    assert done == [(k + 1, len(work.inverters)) for k in range(len(work.inverters))]
    return pd.DataFrame(rows), frame


@pytest.fixture(scope="module")
def found(vae, targets):
    return swept(vae, targets, job())


@pytest.fixture(scope="module")
def traces(found) -> pd.DataFrame:
    return found[1]


@pytest.fixture(scope="module")
def records(found) -> pd.DataFrame:
    return found[0]


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
    _, frame = swept(vae, targets, job(inverters=only, all_rates=True, budgets={"gradient": [3]}))
    assert sorted(frame["rate"].unique()) == [0.001, 0.05, 5.0]
    assert frame[frame["chosen"]]["rate"].nunique() == 1


def test_a_method_named_for_it_stops_at_its_plateau_and_says_where(vae, targets):
    forward = {"forward": Inverter(inverter="forward", options={"rho": 0.2})}
    budgets = {"forward": [10, 400]}
    _, whole = swept(vae, targets, job(inverters=forward, budgets=budgets, record_every=2))
    level = (10 * np.log10(whole.set_index("iteration")["nmse"])).groupby(level=0).mean()
    drop = float(level[10] - level[20])  # less than this is first gained somewhere after 20
    ending = {"to_plateau": ["forward"], "plateau": drop, "within": 10}
    records, frame = swept(vae, targets, job(inverters=forward, budgets=budgets, record_every=2, **ending))
    last = int(frame["iteration"].max())
    gained = {k: float(level[k - 10] - level[k]) for k in level.index if k >= 10 and k - 10 in level.index}
    assert last == min(k for k, gain in gained.items() if gain < drop) < 400
    rows = records.query("metric == 'iterations_run'").set_index("iterations")["value"]
    assert rows.to_dict() == {10: 10, 400: last}


def test_a_scheduled_method_runs_to_its_budget_whatever_it_gains(vae, targets):
    frozen = {"s": Inverter(inverter="adam", options={"lr": 1e-9, "schedule": "warmup-cosine"})}
    work = job(inverters=frozen, budgets={"s": [20]}, to_plateau=["s"], plateau=1.0, within=5)
    assert swept(vae, targets, work)[1]["iteration"].max() == 20


def test_a_sweep_may_leave_out_the_last_test_targets(vae, targets, traces):
    only = {"forward": Inverter(inverter="forward", options={"rho": 0.2})}
    few, all_of_them = (
        swept(vae, targets, job(inverters=only, images=n))[1].set_index(["iteration", "image"])["nmse"]
        for n in (2, None)
    )
    assert len(all_of_them) == 2 * len(few)
    np.testing.assert_allclose(few, all_of_them[few.index], rtol=1e-4)


def test_times_hold_every_method_budget_and_image_and_reach_beyond_by_lines(vae, targets):
    timed = TimesJob(
        **ABOUT, inverters=INVERTERS, budgets={"encoder": [1, 3], "forward": [1, 3]},
        models={"m": Timed(model=MODEL, methods=["encoder", "forward"], images=2)},
    )  # fmt: skip
    rows = pd.DataFrame(timing.times("m", vae, targets["test"], timed))
    assert len(rows) == 2 * 2 * 2
    assert (rows["value"] > 0).all()
    known = pd.DataFrame({"method": "a", "iterations": [0, 1, 3, 3], "value": [1.0, 2.0, 5.0, 7.0]})
    np.testing.assert_allclose(timing.seconds(known, "a", np.array([0, 1, 2, 3, 10])), [1, 2, 4, 6, 20])
    with pytest.raises(ValueError, match="two timed budgets of b"):
        timing.seconds(known, "b", np.array([1]))
