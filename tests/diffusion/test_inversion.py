"""What the inversion experiments record is what happened: losses of the sequential chain, rates chosen elsewhere."""

import itertools
import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from scipy import stats

from deqbench import jobs, zoo
from deqbench.config.inversion import Inverted, Inverter
from deqbench.data import checkpoints, datasets
from deqbench.diffusion import attempts, comparison, experiments, inversion, noise, races
from deqbench.diffusion.attempts import Attempt, best_rate
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.comparison import CALIBRATION
from deqbench.diffusion.inverted import encode, reconstruct
from deqbench.diffusion.inverters import invert
from deqbench.errors import UserError

T, SEED = 4, 3
METHODS = {
    "algorithm-1": Inverter(inverter="descent"),
    "one-step": Inverter(inverter="descent", options={"gradient": "phantom"}),
    "from-encoding": Inverter(inverter="descent", start="encoding"),
    "encoding": Inverter(inverter="encoding"),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    return checkpoints.load(zoo.path("digits"))


@pytest.fixture(scope="module")
def data():
    return datasets.build("digits")


def job(methods=METHODS, eta=(), epochs=4, rates=(0.01, 0.3), max_batch=64, **chains) -> jobs.Invert:
    settings = {"images": 2, "tuning": 2, "epochs": [1], "shown": 2, "updates": [0, 2], **chains}
    return jobs.Invert(
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
        chains=Inverted(**settings),
    )


@pytest.fixture(scope="module")
def outcome(network, data):
    return inversion.run(network, data, job(longer=8))


@pytest.fixture(scope="module")
def records(outcome):
    return pd.DataFrame(outcome.records)


@pytest.fixture(scope="module")
def traces(outcome):
    return pd.DataFrame(outcome.traces)


def metric(frame, method, name):
    rows = frame[(frame["method"] == method) & (frame["metric"] == name)]
    return rows.sort_values("image")["value"].tolist()


def chain(network, images, eta=0.0, steps=T):
    eps = experiments.predictor(network, "cpu", 64)
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

    monkeypatch.setattr(attempts, "invert", miscounting)
    with pytest.raises(AssertionError, match=r"descent: NFE \d+, counted \d+"):
        inversion.run(network, data, job({"algorithm-1": METHODS["algorithm-1"]}))


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


def test_latents_that_stand_still_are_evaluated_once(network, data):
    eps = experiments.predictor(network, "cpu", 64)
    found = attempts.problem(network, eps, data, "uniform-released", T, 0.0, SEED, [0, 1])
    a, b = found.chain.x_T
    images, latents = [0, 0, 1, 0, 1], [a, a, a, b, b]
    expected = attempts.evaluate(found, images, latents, 64)[1]
    before = eps.evaluations
    assert attempts.evaluate_once(found, images, latents, 64) == pytest.approx(expected, rel=1e-5)
    assert eps.evaluations - before == 4 * T


def test_updates_of_a_walked_descent_cost_no_evaluations_but_those_of_a_solved_one_do(network, data):
    def spent(gradient):
        eps = experiments.predictor(network, "cpu", 64)
        found = attempts.problem(network, eps, data, "uniform-released", T, 0.0, SEED, [0])
        one = Inverter(inverter="descent", options=gradient)
        (tried,) = attempts.attempts(found, one, [0.01], 3, lambda _: True, 1, 64).values()
        again = attempts.evaluate(found, [0] * len(tried.kept), list(tried.kept.values()), 64)[1]
        assert list(tried.losses.values()) == pytest.approx([again[list(tried.kept).index(k)] for k in tried.losses])
        return eps.evaluations - len(tried.kept) * T - 4 * tried.nfe

    assert spent({"gradient": "phantom"}) == T  # what is returned
    assert spent({"gradient": "phantom", "forward": "joint", "tol": 0.0, "max_iter": 2}) > T


def test_at_every_rate_where_asked(network, data):
    found = inversion.run(network, data, job({"a": METHODS["algorithm-1"]}, rates=(0.1, 0.2, 0.3), all_rates=True))
    assert {row["lr"] for row in found.traces} == {0.1, 0.2, 0.3}
    assert len({row["lr"] for row in found.traces if row["chosen"]}) == 1


def test_later_updates_are_recorded_now_and_then_the_shown_last_and_best_among_them(network, data, monkeypatch):
    monkeypatch.setattr(attempts, "DENSE", 1)
    one = job({"a": METHODS["algorithm-1"]}, epochs=9, rates=(0.05,), record_every=4, updates=[0, 6], images=1)
    found = inversion.run(network, data, one)
    assert {0, 1, 4, 6, 8, 9} <= {row["epoch"] for row in found.traces}
    losses = {row["epoch"]: row["value"] for row in found.traces if row["metric"] == "loss"}
    assert found.pictures["updates"].tolist() == [0, 6, 9]
    shown = distance(found.pictures["a@0/updates"], found.pictures["target"][:1].expand(3, -1, -1, -1))
    assert shown.tolist() == pytest.approx([losses[0], losses[6], losses[9]], rel=1e-4)


def test_the_update_that_is_returned_is_recorded_whichever_it_is(network, data, monkeypatch):
    monkeypatch.setattr(attempts, "DENSE", 0)
    one = job({"a": METHODS["algorithm-1"]}, epochs=12, rates=(3.0,), record_every=100, updates=[], images=1, shown=0)
    found = inversion.run(network, data, one)
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
    monkeypatch.setattr(inversion, "best_rate", lambda tried: (seen.append(tried), 0.01)[1])
    inversion.run(network, data, job({"a": METHODS["algorithm-1"]}))
    target = data.tuning[:2]
    made = chain(network, range(CALIBRATION, CALIBRATION + 2))
    expected = distance(reconstruct(made, invert("descent", made, target, {"lr": 0.3, "epochs": 4}).x_T), target)
    assert [seen[0][0.3, k].returned for k in range(2)] == pytest.approx(expected.tolist(), rel=1e-4)


def test_a_run_in_small_batches_finds_the_same(network, data, records):
    found = pd.DataFrame(inversion.run(network, data, job({"algorithm-1": METHODS["algorithm-1"]}, batch=1)).records)
    for name in ("min_loss", "initial_loss", "lr", "nfe", "min_loss_paper_rate"):
        assert metric(found, "algorithm-1", name) == pytest.approx(metric(records, "algorithm-1", name), rel=1e-3)


def test_stochastic_chains_are_inverted_with_their_own_noises(network, data):
    methods = {name: METHODS[name] for name in ("algorithm-1", "encoding")}
    found = inversion.run(network, data, job(methods, eta=(0.0, 1.0), rates=(0.3,)))
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
        inversion.run(network, data, job(tuning=181))


def attempt(returned, diverged=False, losses=None):
    return Attempt(torch.zeros(1), diverged, 1.0, 1.0, [], returned, losses or {})


def test_a_diverged_run_is_no_choice():
    tried = {(0.1, 0): attempt(9.0), (0.2, 0): attempt(1.0, diverged=True), (0.3, 0): attempt(math.nan)}
    assert best_rate(tried) == 0.1
    assert (
        best_rate({(0.1, 0): attempt(2.0), (0.1, 1): attempt(2.0), (0.2, 0): attempt(0.0), (0.2, 1): attempt(5.0)})
        == 0.1
    )


def test_updates_to_a_loss_are_one_more_than_the_budget_where_it_is_never_reached():
    found = attempt(0.4, losses={0: 3.0, 1: math.nan, 2: 0.5, 3: 0.4})
    assert (found.first_below(2, 5), found.first_below(0.5, 5), found.first_below(0.3, 5)) == (2, 2, 5)
    assert found.least == 0.4


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
    return jobs.TimeInversions(
        experiment="table-3",
        seed=SEED,
        device="cpu",
        max_batch=64,
        grids={"digits": "uniform-released"},
        inverters=METHODS,
        rate=0.01,
        eta=[],
        chains={"digits": {T: Inverted(**share)}},
    )


def test_an_update_is_timed_without_the_first_and_a_whole_run_with_its_start(network, data, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(comparison.Stopwatch, "now", lambda self: float(next(ticks)))
    records, steps = races.times(network, data, timing(), "digits")
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
    settings = {"experiment": "table-3", "baseline": "slow", "baseline_encoded": None, "encoded": [], "descents": []}
    return races.race(*frames(), jobs.Race(**{**settings, "descents": ["slow", "brief"], **changes}))


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
