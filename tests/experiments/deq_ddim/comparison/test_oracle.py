"""Rounds, evaluations and errors recorded are those that happened; settings are chosen on images of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deqbench.diffusion import noise
from deqbench.diffusion.sampled import Round, Sampled
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim.chains import CALIBRATION
from deqbench.experiments.deq_ddim.comparison import oracle
from deqbench.experiments.deq_ddim.comparison.oracle import PATIENCE, Trace, Watch, best, exact, measured, tune
from deqbench.experiments.deq_ddim.comparison.problems import of_mixture
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
    records, _ = measured(problem, T, images, x0, "joint", PICARD, {"tol": 0.0, "max_iter": T})
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
    for kept_going in ({}, {"tol": 0.0, "max_iter": T}):
        records, _ = measured(problem, T, images, x0, "joint", PICARD, kept_going)
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
        measured(problem, 20, range(2), x0, "joint", PICARD, oracle)[1] for oracle in ({}, {"tol": 0.0, "max_iter": 20})
    )
    last = max(row["round"] for row in kept_going)
    assert max(row["round"] for row in own) < last < 20
    assert max(row["value"] for row in kept_going if row["round"] > last - PATIENCE) < 1e-3


@pytest.mark.parametrize("sampler", ["sequential", "parareal", "deer", "secant", "heun"])
def test_evaluations_are_those_that_the_network_saw(problem, sampler):
    x0 = exact(problem, 10, range(2))
    before = problem.eps.evaluations
    records, rows = measured(problem, 10, range(2), x0, sampler, {}, {})
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
    monkeypatch.setattr(oracle, "sample", fake([(9, 1e-4, 0), (5, 2e-3, 0), (7, 9e-4, 0)]))
    found = tune(problem, 10, 3, "joint", {"which": 5}, [{"which": k} for k in range(3)])
    assert found["options"] == {"which": 2}
    assert (found["tried"], found["rounds"]) == (3, 7)
    assert found["x0_error"] == pytest.approx(9e-4, rel=1e-3)
    assert set(drawn) == set(range(CALIBRATION, CALIBRATION + 3))


def test_a_method_that_counts_other_evaluations_than_the_network_saw_is_an_error(problem, monkeypatch):
    monkeypatch.setattr(oracle, "sample", fake([(4, 0.0, 1)]))
    x0 = exact(problem, 10, range(2))
    with pytest.raises(AssertionError, match="joint: NFE 10, told 8, seen 8"):
        measured(problem, 10, range(2), x0, "joint", {"which": 0}, {})
