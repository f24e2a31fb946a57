"""Inversions record what happened: losses of the sequential chain, rates chosen elsewhere."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from scipy import stats

from deqbench.diffusion import noise
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import encode, reconstruct
from deqbench.diffusion.inverters import invert
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.chains import CALIBRATION, predictor
from deqbench.experiments.deq_ddim.inversion import measure, trials
from deqbench.experiments.deq_ddim.inversion.config import Chains
from deqbench.experiments.deq_ddim.inversion.job import RunJob
from tests.experiments.deq_ddim.inversion.digits import METHODS, SEED, T, metric
from tests.experiments.deq_ddim.smoke import silent


def job(methods=METHODS, eta=(), epochs=4, rates=(0.01, 0.3), max_batch=64, **chains) -> RunJob:
    settings = {"images": 2, "tuning": 2, "epochs": [1], "shown": 2, "updates": [0, 2], **chains}
    return RunJob(
        paper="deq-ddim",
        seed=SEED,
        dataset="digits",
        grid="uniform-released",
        device="cpu",
        max_batch=max_batch,
        experiment="table-3",
        inverters=methods,
        baseline=next(iter(methods)),
        rates={name: list(rates) if method.descends else [] for name, method in methods.items()},
        paper_rate=0.01,
        epochs={name: [epochs] * max(1, len(eta)) for name in methods},
        eta=list(eta),
        T=T,
        chains=Chains(**settings),
    )


@pytest.fixture(scope="module")
def outcome(network, data):
    return measure.outcome(network, data, job(longer=8), silent)


@pytest.fixture(scope="module")
def records(outcome):
    return pd.DataFrame(outcome.records)


@pytest.fixture(scope="module")
def traces(outcome):
    return pd.DataFrame(outcome.traces)


def chain(network, images, eta=0.0, steps=T):
    eps = predictor(network, "cpu", 64)
    drawn = noise.step_noise(SEED, images, steps, network.shape) if eta else None
    x_T = noise.x_T(SEED, images, network.shape)
    return DDIMChain.make(eps, network.schedule, "uniform-released", steps, x_T, eta=eta, noise=drawn)


def distance(x0, target):
    return (x0 - target).flatten(1).double().square().sum(1)


def test_the_rate_is_the_best_on_images_of_the_tuning_split(network, data, records):
    tuning = range(CALIBRATION, CALIBRATION + 2)
    target = data.tuning[:2]
    made = chain(network, tuning)
    means = {}
    for rate in (0.01, 0.3):
        found = invert("descent", made, target, {"lr": rate, "epochs": 4})
        means[rate] = float(distance(reconstruct(made, found.x_T), target).mean())
    assert metric(records, "algorithm-1", "lr") == [min(means, key=means.get)] * 2


def test_losses_are_those_of_the_sequential_chain_from_the_latents_found(network, data, records, outcome):
    made, target = chain(network, range(2)), data.test[:2]
    for method, rate in (("algorithm-1", 0.3), ("one-step", 0.3)):
        options = {"lr": rate, "epochs": 4, **METHODS[method].options}
        found = invert("descent", made, target, options)
        x0 = reconstruct(made, found.x_T)
        assert metric(records, method, "min_loss") == pytest.approx(distance(x0, target).tolist(), rel=1e-4)
        assert metric(records, method, "norm2") == pytest.approx(found.x_T.square().flatten(1).mean(1), rel=1e-4)
        torch.testing.assert_close(outcome.pictures[f"{method}@0/best"], x0, rtol=1e-3, atol=1e-4)
        slow = invert("descent", made, target, {**options, "lr": 0.01})
        expected = distance(reconstruct(made, slow.x_T), target).tolist()
        assert metric(records, method, "min_loss_paper_rate") == pytest.approx(expected, rel=1e-4)
    encoded = reconstruct(made, encode(made, target))
    assert metric(records, "encoding", "min_loss") == pytest.approx(distance(encoded, target).tolist(), rel=1e-4)
    torch.testing.assert_close(outcome.pictures["target"], target)


def test_a_descent_may_start_at_the_encoding(network, data, records):
    made, target = chain(network, range(2)), data.test[:2]
    expected = distance(reconstruct(made, encode(made, target)), target).tolist()
    assert metric(records, "from-encoding", "initial_loss") == pytest.approx(expected, rel=1e-4)
    assert metric(records, "algorithm-1", "initial_loss") == pytest.approx(
        distance(reconstruct(made, made.x_T), target).tolist(), rel=1e-4
    )


def test_counts_are_told_by_update_of_a_descent_and_in_all_of_others(records):
    assert metric(records, "algorithm-1", "nfe") == [T, T]
    assert metric(records, "algorithm-1", "vjps") == [T, T]
    assert metric(records, "one-step", "vjps") == [1, 1]
    assert metric(records, "encoding", "nfe") == [T, T]
    units = records[records["metric"] == "nfe"].set_index("method")["unit"].to_dict()
    assert (units["algorithm-1"], units["encoding"]) == ("evaluations / update", "evaluations")


def test_a_method_that_miscounts_is_caught(network, data, monkeypatch):
    def miscounting(*args):
        found = invert(*args)
        return replace(found, nfe=found.nfe + 1)

    monkeypatch.setattr(trials, "invert", miscounting)
    with pytest.raises(AssertionError, match=r"descent: NFE \d+, counted \d+"):
        measure.outcome(network, data, job({"algorithm-1": METHODS["algorithm-1"]}), silent)


def test_traces_hold_every_early_update_at_the_chosen_and_the_papers_rate(traces, records):
    own = traces[(traces["method"] == "algorithm-1") & (traces["metric"] == "loss") & (traces["image"] == 0)]
    chosen = own[own["chosen"]]
    assert chosen["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert set(own["lr"]) == {0.01, 0.3}
    assert chosen["value"].iloc[0] == metric(records, "algorithm-1", "initial_loss")[0]
    assert chosen["value"].min() == metric(records, "algorithm-1", "min_loss")[0]
    seen = traces[(traces["method"] == "algorithm-1") & (traces["metric"] == "solver_loss")]
    pairs = seen.merge(
        traces[traces["metric"] == "loss"], on=["method", "image", "lr", "epoch"], suffixes=("_own", "_again")
    )
    assert pairs["value_own"].tolist() == pytest.approx(pairs["value_again"].tolist(), rel=1e-3)
    assert max(metric(records, "algorithm-1", "solver_gap")) < 1e-3


def test_at_every_rate_where_asked(network, data):
    found = measure.outcome(
        network, data, job({"a": METHODS["algorithm-1"]}, rates=(0.1, 0.2, 0.3), all_rates=True), silent
    )
    assert {row["lr"] for row in found.traces} == {0.1, 0.2, 0.3}
    assert len({row["lr"] for row in found.traces if row["chosen"]}) == 1


def test_later_updates_are_recorded_now_and_then_the_shown_last_and_best_among_them(network, data, monkeypatch):
    monkeypatch.setattr(trials, "DENSE", 1)
    one = job({"a": METHODS["algorithm-1"]}, epochs=9, rates=(0.05,), record_every=4, updates=[0, 6], images=1)
    found = measure.outcome(network, data, one, silent)
    assert {0, 1, 4, 6, 8, 9} <= {row["epoch"] for row in found.traces}
    losses = {row["epoch"]: row["value"] for row in found.traces if row["metric"] == "loss"}
    assert found.pictures["updates"].tolist() == [0, 6, 9]
    shown = distance(found.pictures["a@0/updates"], found.pictures["target"][:1].expand(3, -1, -1, -1))
    assert shown.tolist() == pytest.approx([losses[0], losses[6], losses[9]], rel=1e-4)


def test_the_update_that_is_returned_is_recorded_whichever_it_is(network, data, monkeypatch):
    monkeypatch.setattr(trials, "DENSE", 0)
    one = job({"a": METHODS["algorithm-1"]}, epochs=12, rates=(3.0,), record_every=100, updates=[], images=1, shown=0)
    found = measure.outcome(network, data, one, silent)
    losses = {row["epoch"]: row["value"] for row in found.traces if row["metric"] == "loss"}
    told = []
    options = {"lr": 3.0, "epochs": 12}
    invert("descent", chain(network, range(1)), data.test[:1], options, lambda step: told.append(float(step.loss)))
    best = told.index(min(told))
    assert best not in {0, 12}
    assert losses.keys() == {0, best, 12}
    assert losses[best] == pytest.approx(min(told), rel=1e-4)


def test_the_images_that_rates_are_tried_on_are_none_of_those_reported(network, data, monkeypatch):
    seen = []
    monkeypatch.setattr(measure, "best_rate", lambda tried: (seen.append(tried), 0.01)[1])
    measure.outcome(network, data, job({"a": METHODS["algorithm-1"]}), silent)
    target = data.tuning[:2]
    made = chain(network, range(CALIBRATION, CALIBRATION + 2))
    expected = distance(reconstruct(made, invert("descent", made, target, {"lr": 0.3, "epochs": 4}).x_T), target)
    assert [seen[0][0.3, k].returned for k in range(2)] == pytest.approx(expected.tolist(), rel=1e-4)


def test_a_run_in_small_batches_finds_the_same(network, data, records):
    found = pd.DataFrame(
        measure.outcome(network, data, job({"algorithm-1": METHODS["algorithm-1"]}, batch=1), silent).records
    )
    for name in ("min_loss", "initial_loss", "lr", "nfe", "min_loss_paper_rate"):
        assert metric(found, "algorithm-1", name) == pytest.approx(metric(records, "algorithm-1", name), rel=1e-3)


def test_stochastic_chains_are_inverted_with_their_own_noises(network, data):
    methods = {name: METHODS[name] for name in ("algorithm-1", "encoding")}
    found = measure.outcome(network, data, job(methods, eta=(0.0, 1.0), rates=(0.3,)), silent)
    frame = pd.DataFrame(found.records)
    made, target = chain(network, range(2), eta=1.0), data.test[:2]
    expected = distance(reconstruct(made, encode(made, target)), target).tolist()
    assert metric(frame[frame["eta"] == 1], "encoding", "min_loss") == pytest.approx(expected, rel=1e-4)
    assert {"algorithm-1@0/best", "algorithm-1@1/best", "encoding@1/best"} <= found.pictures.keys()


def test_more_steps_are_taken_from_the_latents_of_fewer(network, outcome, records, data):
    made, target = chain(network, range(2)), data.test[:2]
    x_T = invert("descent", made, target, {"lr": 0.3, "epochs": 4}).x_T
    longer = reconstruct(replace(chain(network, range(2), steps=8), x_T=x_T), x_T)
    torch.testing.assert_close(outcome.pictures["algorithm-1@0/longer"], longer, rtol=1e-3, atol=1e-4)
    assert metric(records, "algorithm-1", "longer_loss") == pytest.approx(distance(longer, target).tolist(), rel=1e-3)


def test_the_normality_check_is_kolmogorov_and_smirnovs(network, data, records):
    made, target = chain(network, range(2)), data.test[:2]
    expected = [stats.ks_1samp(x.flatten().double(), stats.norm.cdf).pvalue for x in encode(made, target)]
    assert metric(records, "encoding", "normal_p") == pytest.approx(expected, rel=1e-3)


def test_more_images_than_there_are_is_one_sentence(network, data):
    with pytest.raises(UserError, match=r"^images: expected at most 180 of the tuning split; found 181$"):
        measure.outcome(network, data, job(tuning=181), silent)
