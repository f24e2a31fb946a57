"""Trials: what they evaluate, and which rate is the best."""

import math

import pytest
import torch

from deqbench.experiments.deq_ddim.chains import predictor
from deqbench.experiments.deq_ddim.inversion.trials import Trial, best_rate, evaluate, evaluate_once, trials
from deqbench.experiments.deq_ddim.shared import Inverter
from deqbench.experiments.deq_ddim.targets import targets
from tests.experiments.deq_ddim.inversion.digits import SEED, T


def test_latents_that_stand_still_are_evaluated_once(network, data):
    eps = predictor(network, "cpu", 64)
    found = targets(network, eps, data, "uniform-released", T, 0.0, SEED, [0, 1])
    a, b = found.chain.x_T
    images, latents = [0, 0, 1, 0, 1], [a, a, a, b, b]
    expected = evaluate(found, images, latents, 64)[1]
    before = eps.evaluations
    assert evaluate_once(found, images, latents, 64) == pytest.approx(expected, rel=1e-5)
    assert eps.evaluations - before == 4 * T


def test_updates_of_a_walked_descent_cost_no_evaluations_but_those_of_a_solved_one_do(network, data):
    def spent(gradient):
        eps = predictor(network, "cpu", 64)
        found = targets(network, eps, data, "uniform-released", T, 0.0, SEED, [0])
        one = Inverter(inverter="descent", options=gradient)
        (tried,) = trials(found, one, [0.01], 3, lambda _: True, 1, 64).values()
        again = evaluate(found, [0] * len(tried.kept), list(tried.kept.values()), 64)[1]
        assert list(tried.losses.values()) == pytest.approx([again[list(tried.kept).index(k)] for k in tried.losses])
        return eps.evaluations - len(tried.kept) * T - 4 * tried.nfe

    assert spent({"gradient": "phantom"}) == T  # what is returned
    assert spent({"gradient": "phantom", "forward": "joint", "tol": 0.0, "max_iter": 2}) > T


def trial(returned, diverged=False, losses=None):
    return Trial(torch.zeros(1), diverged, 1.0, 1.0, [], returned, losses or {})


def test_a_diverged_run_is_no_choice():
    tried = {(0.1, 0): trial(9.0), (0.2, 0): trial(1.0, diverged=True), (0.3, 0): trial(math.nan)}
    assert best_rate(tried) == 0.1
    assert best_rate({(0.1, 0): trial(2.0), (0.1, 1): trial(2.0), (0.2, 0): trial(0.0), (0.2, 1): trial(5.0)}) == 0.1


def test_updates_to_a_loss_are_one_more_than_the_budget_where_it_is_never_reached():
    found = trial(0.4, losses={0: 3.0, 1: math.nan, 2: 0.5, 3: 0.4})
    assert (found.first_below(2, 5), found.first_below(0.5, 5), found.first_below(0.3, 5)) == (2, 2, 5)
    assert found.least == 0.4
