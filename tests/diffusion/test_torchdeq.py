"""The library's solvers on our chain, against the library called by hand, in float64."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from tests.diffusion.chains import make, relative


def by_hand(name, chain, **settings):
    """The states that the library's function returns for each image, (B, N, *dims), and its evaluations."""
    from torchdeq.solver import get_solver

    calls, parts = [], []
    for i in range(len(chain.x_T)):
        alone = chain.select(torch.tensor([i]))
        calls.append(0)

        def f(z, alone=alone):
            calls[-1] += 1
            return alone(z)

        parts.append(get_solver(name)(f, alone.initial(), **settings)[0])
    return torch.cat(parts), calls


@pytest.mark.parametrize("solver", ["anderson", "fixed-point"])
@pytest.mark.parametrize("stop_mode", ["abs", "rel"])
@pytest.mark.parametrize("tol", [1e-1, 1e-4, 0.0])
def test_the_result_is_the_librarys_own_for_each_image(solver, stop_mode, tol):
    chain, *_ = make(20)
    name = {"anderson": "anderson", "fixed-point": "fixed_point_iter"}[solver]
    drawn = sample("torchdeq", chain, {"solver": solver, "stop_mode": stop_mode, "tol": tol, "max_iter": 18})
    states, calls = by_hand(name, chain, stop_mode=stop_mode, tol=tol, max_iter=18)
    assert torch.equal(drawn.states, states)
    assert drawn.rounds.tolist() == calls
    assert drawn.nfe.tolist() == [20 * n for n in calls]


@pytest.mark.parametrize("solver", ["anderson", "fixed-point"])
def test_each_round_tells_what_a_run_of_that_many_rounds_returns(solver):
    chain, eps, *_ = make(20)
    steep = replace(chain.select(torch.tensor([0])), eps_model=lambda x, t: 3 * eps(x, t))  # residuals first grow
    told = []
    options = {"solver": solver, "tol": 0.0}
    sample("torchdeq", steep, {**options, "max_iter": 12}, on_round=told.append)
    least = 3 if solver == "anderson" else 1
    for k in range(1, 13):
        shorter = sample("torchdeq", steep, {**options, "max_iter": k}).x0 if k >= least else steep.x_T
        assert told[k - 1].number == k and torch.equal(told[k - 1].x0, shorter)
    residuals = [float(round.absolute) for round in told[least - 1 :]]
    assert any(after > before for before, after in pairwise(residuals))


def test_it_converges_to_the_sequential_chain():
    chain, *_ = make(20)
    drawn = sample("torchdeq", chain, {"tol": 1e-6, "stop_mode": "rel", "ridge": 1e-8})
    assert set(drawn.stopped) == {"converged"}
    assert relative(drawn.states, torch.stack(list(chain.walk()), 1)) < 1e-4


def test_the_word_for_the_stop_follows_the_tolerance():
    chain, *_ = make(20)
    assert set(sample("torchdeq", chain, {"tol": 0.0, "max_iter": 5}).stopped) == {"max_iter"}
    assert set(sample("torchdeq", chain, {"tol": 1e9, "max_iter": 5}).stopped) == {"converged"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"solver": "broyden"}, 'solver: expected one of anderson, fixed-point; found "broyden"'),
        ({"stop_mode": "relative"}, "stop_mode: expected one of abs, rel"),
        ({"m": 1}, r"m: expected an integer in \[2, 1000000\]; found 1"),
        ({"max_iter": 2}, "max_iter: expected at least 3; found 2"),
        ({"lam": 1.0}, "lam: expected one of .*; found an unknown option"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(options, words):
    chain, *_ = make(5, grid="uniform-paper")
    with pytest.raises(UserError, match=words):
        sample("torchdeq", chain, options)
