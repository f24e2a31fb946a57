"""Our inverter: its checks, its windows, its polish."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import reconstruct
from deqbench.diffusion.inverters import invert
from tests.diffusion.chains import relative
from tests.diffusion.inversions import TIGHT, case


def test_sweeps_say_converged_only_of_losses_within_the_tolerance():
    chain, target, *_ = case()
    for tol in (1e-2, 1e-5, 1e-8):
        inversion = invert("sweeps", chain, target, {"tol": tol})
        assert set(inversion.stopped) == {"converged"}
        assert (loss(reconstruct(chain, inversion.x_T), target) <= tol).all()
    cut = invert("sweeps", chain, target, {"tol": 1e-12, "max_iter": 2})
    assert set(cut.stopped) == {"max_iter"}


def test_sweeps_go_on_where_the_check_fails(monkeypatch):
    chain, target, *_ = case()
    once = invert("sweeps", chain, target, {"tol": 1e-4})
    checks = []

    def refused_once(chain, x_T):
        checks.append(len(x_T))
        return reconstruct(chain, x_T) + (len(checks) <= len(target))  # the first checks see images that are far off

    monkeypatch.setattr("deqbench.diffusion.inverters.sweeps.reconstruct", refused_once)
    inversion = invert("sweeps", chain, target, {"tol": 1e-4})
    assert set(inversion.stopped) == {"converged"}
    assert (inversion.rounds > once.rounds).any()


@pytest.mark.parametrize("first", ["target", "noised", "encoding", "trajectory"])
def test_a_window_of_all_steps_or_more_is_no_window(first):
    chain, target, *_ = case()
    plain = invert("sweeps", chain, target, {"first": first, "tol": 1e-6})
    for window in (6, 9):
        inversion = invert("sweeps", chain, target, {"first": first, "tol": 1e-6, "window": window, "patience": 1})
        assert torch.equal(inversion.x_T, plain.x_T)
        assert torch.equal(inversion.nfe, plain.nfe)


@pytest.mark.parametrize("eta", [0.0, 0.3])
@pytest.mark.parametrize("first", ["target", "noised", "encoding"])
@pytest.mark.parametrize("window", [1, 4])
def test_a_window_finds_the_start_that_the_target_was_sampled_from(window, first, eta):
    chain, target, end, predictor = case(12, eta=eta)
    inversion = invert("sweeps", chain, target, {**TIGHT["sweeps"], "first": first, "window": window})
    assert set(inversion.stopped) == {"converged"}
    assert relative(inversion.x_T, end) < 1e-6
    assert int(inversion.nfe.sum()) == predictor.evaluations


def test_a_window_evaluates_its_own_steps_alone(monkeypatch):
    chain, target, _, predictor = case(12, images=1)
    asked = []
    once = predictor._call
    monkeypatch.setattr(predictor, "_call", lambda x, t: asked.append(t) or once(x, t))
    invert("sweeps", chain, target, {"first": "noised", "window": 3})
    rounds = [t for t in asked if len(t) > 1]  # a check walks the chain one state at a time
    assert all(len(t) == 3 for t in rounds)
    assert torch.equal(rounds[0], chain.timesteps[-3:])
    assert torch.equal(rounds[-1], chain.timesteps[:3])


def test_a_window_leaves_an_image_in_a_batch_as_if_it_were_alone():
    chain, target, *_ = case(12, eta=0.3)
    options = {"tol": 1e-6, "first": "encoding", "window": 3}
    together = invert("sweeps", chain, target, options)
    for i in range(len(target)):
        alone = invert("sweeps", chain.select(torch.tensor([i])), target[i : i + 1], options)
        assert relative(together.x_T[i : i + 1], alone.x_T) < 1e-6
        assert (together.rounds[i], together.nfe[i]) == (alone.rounds[0], alone.nfe[0])


def test_a_window_that_has_not_reached_the_start_tells_what_the_last_noise_predicts():
    """One round of one step, before the last: the rest of the chain is taken with that one eps, in closed form."""
    chain, target, *_ = case(images=1)
    told = []
    options = {"first": "target", "window": 1, "max_iter": 1}
    invert("sweeps", chain, target, options, lambda step: told.append(step.x_T.clone()))
    eps = chain.eps_model(target, chain.timesteps[-1:])
    x = target + (target - chain.step(target, 5)) / chain.ratio[5]  # the plain move
    a, first = chain.alpha_bar[5], chain.alpha_bar[0]
    x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
    assert relative(told[-1], first.sqrt() * x0 + (1 - first).sqrt() * eps) < 1e-10


def test_a_step_that_nothing_settles_is_given_up():
    chain, target, *_ = case(12, images=2)
    inversion = invert("sweeps", chain, target, {"tol": 0.0, "window": 4, "patience": 3, "max_iter": 500})
    assert inversion.stopped == ("max_iter", "max_iter")
    assert inversion.rounds.tolist() == [3 * 12] * 2


def test_sweeps_keep_the_given_start_where_nothing_is_better():
    chain, target, end, _ = case()
    inversion = invert("sweeps", replace(chain, x_T=end), target, {"max_iter": 1, "tol": 1e-20})
    assert torch.equal(inversion.x_T, end)


def test_sweeps_polish_what_lies_out_of_reach():
    """With eta 1 the noises overrule x_T: images drawn at random cannot be met, and gradients find the nearest."""
    chain, target, *_ = case(eta=1.0, images=2)
    target = target + torch.randn(target.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    plain = invert("sweeps", chain, target, {"max_iter": 15})
    polished = invert("sweeps", chain, target, {"max_iter": 15, "polish": 20})
    before, after = (loss(reconstruct(chain, inversion.x_T), target) for inversion in (plain, polished))
    assert (after <= before).all()
    assert (after < before).any()
    assert (polished.vjps > 0).any()
