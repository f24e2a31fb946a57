"""What the comparison records is what happened: counted, traced, chosen on other images than those measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from deqbench import jobs
from deqbench.config import Method
from deqbench.config.comparison import MIXTURES, Compared
from deqbench.data import datasets
from deqbench.diffusion import comparison, noise
from deqbench.diffusion.comparison import (
    CALIBRATION,
    PATIENCE,
    Trace,
    Watch,
    best,
    compare,
    exact,
    measure,
    times,
    tune,
)
from deqbench.diffusion.problems import of_mixture
from deqbench.diffusion.sampled import Round, Sampled
from deqbench.diffusion.samplers import sample
from deqbench.metrics.errors import relative_error
from deqbench.solvers.rounds import Stop

PICARD = {"solver": "picard", "tol": 1e-2, "max_iter": 12}


@pytest.fixture(scope="module")
def problem():
    return of_mixture("mixture-64", "uniform-released", "cpu", 64, seed=3)


def trace(*errors: float, numbers=None, nfe: int = 10) -> Trace:
    found = Trace()
    for at, error in enumerate(errors):
        found.add(numbers[at] if numbers else at + 1, nfe, error)
    return found


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((0.5, 0.1, 9e-4, 5e-4), (3, 30, True)),
        ((1e-4,), (1, 10, True)),
        ((0.5, 5e-4, 2e-3, 5e-4), (4, 40, True)),  # it rose again
        ((0.5, 5e-4, 2e-3), (4, 30, False)),  # and stayed
        ((0.5, 0.1), (3, 20, False)),
        ((0.5, 1e-3), (3, 20, False)),  # the target itself is not below it
        ((5e-4, float("nan")), (3, 20, False)),
    ],
)
def test_right_is_the_round_from_which_the_error_stays_below_the_target(errors, expected):
    assert trace(*errors).right() == expected


def test_rounds_are_counted_as_the_method_numbers_them():
    assert trace(0.5, 0.1, 1e-4, numbers=(2, 4, 6)).right() == (6, 30, True)
    assert trace(0.5, 0.1, numbers=(2, 4)).right() == (5, 20, False)


def test_a_watch_cuts_a_run_once_every_image_was_right_for_some_rounds():
    def told(number, values):
        x0 = 1 + torch.tensor(values).view(2, 1)
        return Round(number=number, samples=torch.arange(2), x0=x0, nfe=torch.ones(2, dtype=torch.int64))

    watch = Watch(torch.ones(2, 1), cut=True)
    assert not watch(told(1, [0.0, 0.1]))
    for number in range(2, PATIENCE + 1):
        assert not watch(told(number, [0.0, 1e-4]))
    assert watch(told(PATIENCE + 1, [0.0, 1e-4]))
    watch = Watch(torch.ones(2, 1))
    for number in range(1, 3 * PATIENCE):
        assert not watch(told(number, [0.0, 0.0]))
    assert watch.evaluations == 2 * (3 * PATIENCE - 1)


def test_the_oracle_is_what_shorter_runs_show(problem):
    """Runs cut at each number of rounds, an independent way to the same round."""
    T, images = 20, range(3)
    x0 = exact(problem, T, images)
    records, _ = measure(problem, T, images, x0, "joint", PICARD, {"tol": 0.0, "max_iter": T})
    found = {(row["metric"], row["image"]): row["value"] for row in records}
    errors = np.stack(
        [
            relative_error(sample("joint", problem.chain(T, images), PICARD | {"tol": 0.0, "max_iter": k}).x0, x0)
            for k in range(1, T + 1)
        ]
    )  # (T, B)
    for image in images:
        wrong = (errors[:, image] >= 1e-3).nonzero()[0]
        assert found["rounds_oracle", image] == found["nfe_oracle", image] == wrong[-1] + 2
        assert found["reached", image] == 1


def test_what_is_recorded_of_a_method_s_own_stop_is_what_it_returns(problem):
    T, images = 20, range(4)
    x0 = exact(problem, T, images)
    alone = sample("joint", problem.chain(T, images), PICARD)
    errors = relative_error(alone.x0, x0)
    for oracle in ({}, {"tol": 0.0, "max_iter": T}):
        records, _ = measure(problem, T, images, x0, "joint", PICARD, oracle)
        found = {(row["metric"], row["image"]): row["value"] for row in records}
        for i in images:
            assert found["rounds", i] == alone.rounds[i]
            assert found["nfe", i] * T == alone.nfe[i]
            assert found["x0_error", i] == errors[i]
            assert found["above", i] == float(errors[i] >= 1e-3)
    assert len(errors[errors >= 1e-3]) > 0


def test_the_traces_of_an_oracle_go_past_the_method_s_own_stop(problem):
    x0 = exact(problem, 20, range(2))
    own, kept_going = (
        measure(problem, 20, range(2), x0, "joint", PICARD, oracle)[1] for oracle in ({}, {"tol": 0.0, "max_iter": 20})
    )
    last = max(row["round"] for row in kept_going)
    assert max(row["round"] for row in own) < last < 20
    assert max(row["value"] for row in kept_going if row["round"] > last - PATIENCE) < 1e-3


@pytest.mark.parametrize("sampler", ["sequential", "parareal", "deer", "secant", "heun"])
def test_evaluations_are_those_that_the_network_saw(problem, sampler):
    x0 = exact(problem, 10, range(2))
    before = problem.eps.evaluations
    records, rows = measure(problem, 10, range(2), x0, sampler, {}, {})
    counted = problem.eps.evaluations - before
    assert counted == pytest.approx(10 * sum(row["value"] for row in records if row["metric"] == "nfe"))
    last = {row["image"]: row["nfe"] for row in rows}
    assert counted == pytest.approx(10 * sum(last.values()))


def fake(settings):
    """A sampler that makes the rounds, evaluations a round and error that `settings` gives for its option `which`."""

    def run(name, chain, options, on_round=None):
        if name == "sequential":
            return sample(name, chain, options, on_round)
        rounds, error, claimed = settings[options["which"]]
        x0 = sample("sequential", replace(chain, eps_model=chain.eps_model.net), {}).x0  # past the count
        x0 = x0 * (1 + error)
        count = torch.ones(len(x0), dtype=torch.int64)
        for k in range(1, rounds + 1):
            chain.eps_model(chain.x_T, chain.timesteps[:1].expand(len(x0)))
            on_round(Round(number=k, samples=torch.arange(len(x0)), x0=x0, nfe=count))
        ends = {"rounds": rounds * count, "nfe": (rounds + claimed) * count, "stopped": (Stop.CONVERGED,) * len(x0)}
        return Sampled(x0=x0, **ends)

    return run


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ([(9, 1e-4, 90), (7, 9e-4, 70), (8, 1e-5, 80)], 1),
        ([(9, 1e-4, 90), (5, 1e-3, 50), (8, 1e-5, 80)], 2),
        ([(9, 2e-2, 90), (5, 4e-3, 50), (8, float("inf"), 80)], 1),
        ([(9, 1e-4, 90), (9, 1e-4, 70)], 1),
        ([(9, 1e-4, 70), (9, 1e-5, 70)], 0),
    ],
)
def test_the_best_candidate_is_the_one_of_fewest_rounds_among_those_that_are_right(tried, expected):
    assert best(tried) == expected


@pytest.fixture
def drawn(monkeypatch):
    """The images of all chains made, in order."""
    images, real = [], noise.x_T
    monkeypatch.setattr(noise, "x_T", lambda seed, wanted, shape: images.extend(wanted) or real(seed, wanted, shape))
    return images


def test_tuning_tries_every_candidate_on_calibration_images_alone(problem, drawn, monkeypatch):
    monkeypatch.setattr(comparison, "sample", fake([(9, 1e-4, 0), (5, 2e-3, 0), (7, 9e-4, 0)]))
    found = tune(problem, 10, 3, "joint", {"which": 5}, [{"which": k} for k in range(3)])
    assert found["options"] == {"which": 2}
    assert (found["tried"], found["rounds"]) == (3, 7)
    assert found["x0_error"] == pytest.approx(9e-4, rel=1e-3)
    assert set(drawn) == set(range(CALIBRATION, CALIBRATION + 3))


def test_a_method_that_counts_other_evaluations_than_the_network_saw_is_an_error(problem, monkeypatch):
    monkeypatch.setattr(comparison, "sample", fake([(4, 0.0, 1)]))
    x0 = exact(problem, 10, range(2))
    with pytest.raises(AssertionError, match="joint: NFE 10, told 8, seen 8"):
        measure(problem, 10, range(2), x0, "joint", {"which": 0}, {})


def job(**changes):
    settings = {
        "seed": 3,
        "dataset": "mixture-64",
        "grid": "uniform-released",
        "device": "cpu",
        "max_batch": 64,
        "methods": {"ddim": Method(sampler="sequential"), "tuned": Method(sampler="secant", options={"nodes": 4})},
        "compared": {"ddim": Compared(), "tuned": Compared(candidates=[{"nodes": 3}, {"nodes": 5}])},
        "T": 10,
        "images": 3,
        "calibration": 2,
    }
    return jobs.CompareJob(**settings | changes)


def test_a_tuned_method_is_measured_with_what_was_chosen(problem):
    records, _, chosen = compare(problem, job())
    (picked,) = chosen
    assert picked["options"] in ({"nodes": 3}, {"nodes": 5})
    assert json.loads(json.dumps(picked)) == picked
    alone = sample("secant", problem.chain(10, range(3)), picked["options"])
    found = [row["value"] for row in records if (row["method"], row["metric"]) == ("tuned", "rounds")]
    assert found == alone.rounds.tolist()
    assert {row["image"] for row in records} == {0, 1, 2}


def test_groups_of_images_give_what_all_together_give(problem, monkeypatch):
    together = compare(problem, job())[0]
    monkeypatch.setattr(comparison.experiments, "GROUP", 20)
    parts = compare(problem, job())[0]
    key = ("method", "image", "metric")
    values = [{tuple(row[k] for k in key): row["value"] for row in rows} for rows in (together, parts)]
    assert values[0].keys() == values[1].keys()
    assert all(values[0][k] == pytest.approx(values[1][k], rel=1e-2, abs=1e-5) for k in values[0])


def test_times_are_of_every_image_but_those_that_warm_up_and_errors_are_to_the_baseline(problem, drawn):
    methods = {"windowed": Method(sampler="windowed"), "ddim": Method(sampler="sequential")}
    wanted = jobs.TimeComparedJob(
        seed=3,
        device="cpu",
        max_batch=64,
        grids={"mixture-64": "uniform-released"},
        methods=methods,
        baseline="ddim",
        images={"mixture-64": {10: 2, 5: 1}},
        compared={"mixture-64": {10: list(methods), 5: list(methods)}},
    )
    records, rows = times(problem, wanted, "mixture-64", {("mixture-64", 10, "windowed"): {"min_window": 1}})
    assert [(row["T"], row["image"], row["method"]) for row in records] == [
        (T, image, method) for T, image in ((10, 0), (10, 1), (5, 0)) for method in ("ddim", "windowed")
    ]
    assert drawn == [CALIBRATION] * 2 + [0, 0, 1, 1, 0, 0]
    for record in records:
        mine = [row for row in rows if all(row[key] == record[key] for key in ("T", "image", "method"))]
        seconds = [row["seconds"] for row in mine]
        assert seconds == sorted(seconds) and seconds[0] > 0 and seconds[-1] <= record["value"]
        assert [row["round"] for row in mine] == list(range(1, len(mine) + 1))
        assert mine[-1]["value"] < (1e-12 if record["method"] == "ddim" else 1e-3)
    assert sum(row["method"] == "windowed" and row["T"] == 10 and row["image"] == 0 for row in rows) == 10


@pytest.mark.parametrize("name", MIXTURES)
def test_every_mixture_that_a_config_may_name_makes_chains(name):
    made = of_mixture(name, "uniform-released", "cpu", 64, seed=3)
    assert np.prod(made.shape) == int(name.split("-")[1])
    chain = made.chain(5, range(2))
    assert chain.x_T.dtype == torch.float32
    x0 = exact(made, 5, range(2))
    assert x0.dtype == torch.float32 and x0.isfinite().all()
    assert made.eps.evaluations == 10


def test_the_small_mixture_s_centres_are_digits_and_nothing_else(problem):
    train = datasets.digits().train
    assert torch.equal(problem.eps.net.centres.float(), train[:500])
