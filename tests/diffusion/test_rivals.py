"""Samplers that replace the chain: against diffusers' own schedulers, and by their order on a closed-form ODE."""

import math

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, HeunDiscreteScheduler

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.samplers import exact, sample, samplers
from deqbench.diffusion.samplers.fewer_steps import thinned
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError
from tests.diffusion.chains import make, relative

RIVALS = [name for name in samplers() if not exact(name)]
KEPT = list(range(999, -1, -37))  # 28 evenly spaced timesteps from the first to the last


def test_fewer_steps_are_those_of_diffusers():
    chain, eps, _, made = make(1000)
    made.set_timesteps(27)  # strides of 37
    x = chain.x_T
    for t in KEPT:
        x = made.step(eps(x, torch.full((len(x),), t)), t, x).prev_sample
    drawn = sample("fewer-steps", chain, {"steps": 28})
    assert relative(drawn.x0, x) < 1e-12
    assert drawn.nfe.tolist() == drawn.rounds.tolist() == [28, 28]


def test_heun_is_that_of_diffusers():
    chain, eps, *_ = make(1000)
    theirs = HeunDiscreteScheduler(beta_start=0.0001, beta_end=0.02, timestep_spacing="linspace")
    theirs.set_timesteps(28)
    x = chain.x_T * theirs.init_noise_sigma
    for t in theirs.timesteps:
        x = theirs.step(eps(theirs.scale_model_input(x, t), t.expand(len(x))), t, x).prev_sample
    drawn = sample("heun", chain, {"steps": 28})
    assert relative(drawn.x0, x) < 1e-4  # their sigmas are float32
    assert drawn.nfe.tolist() == drawn.rounds.tolist() == [55, 55]


@pytest.mark.parametrize("order", [2, 3])
def test_dpm_solver_on_the_chains_places_is_diffusers_on_its_timesteps(order):
    chain, eps, *_ = make(1000)
    theirs = DPMSolverMultistepScheduler(solver_order=order)
    theirs.set_timesteps(timesteps=KEPT)
    x = chain.x_T
    for t in theirs.timesteps:
        x = theirs.step(eps(x, t.expand(len(x))), t, x).prev_sample
    drawn = sample("dpm-solver", chain, {"steps": 28, "order": order})
    assert relative(drawn.x0, x) < 1e-5
    assert drawn.nfe.tolist() == drawn.rounds.tolist() == [28, 28]


def gaussian_error(name, steps, **options):
    """Relative error of x_0 for N(m, v) data to the ODE's solution, on a smooth schedule of 3841 timesteps."""
    m, v, n = 0.7, 0.3, 3841
    phase = torch.linspace(0.1, 1.4, n, dtype=torch.float64)
    alpha_bar = phase.cos() ** 2
    x_T = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def eps(x, t):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        return (1 - a).sqrt() * (x - a.sqrt() * m) / (a * v + 1 - a)

    schedule = Schedule(alpha_bar, float(alpha_bar[0]))  # the last step leads nowhere, so that no order is lost there
    chain = DDIMChain.make(eps, schedule, "uniform-paper", n, x_T)
    last, first = alpha_bar[0], alpha_bar[-1]
    spread = ((last * v + 1 - last) / (first * v + 1 - first)).sqrt()
    solution = last.sqrt() * m + (x_T - first.sqrt() * m) * spread
    return relative(sample(name, chain, {"steps": steps, **options}).x0, solution)


@pytest.mark.parametrize(
    ("name", "options", "order"),
    [
        ("fewer-steps", {}, 1),
        ("heun", {}, 2),
        ("dpm-solver", {"order": 2}, 2),
        ("heun", {"spacing": "quadratic"}, 2),
        ("dpm-solver", {"order": 2, "spacing": "quadratic"}, 2),
    ],
)
def test_the_error_falls_with_the_order(name, options, order):
    coarse, fine = (gaussian_error(name, steps, **options) for steps in (21, 41))
    assert abs(math.log2(coarse / fine) - order) < 0.3


def test_the_third_order_starts_at_a_low_one_but_is_nearer_than_the_second():
    assert gaussian_error("dpm-solver", 41, order=3) < 0.5 * gaussian_error("dpm-solver", 41, order=2)


def test_quadratic_places_grow_apart_away_from_the_last():
    chain, *_ = make(1000)
    kept = thinned(chain, 20, "quadratic").timesteps
    gaps = -kept.diff()
    assert (int(kept[0]), int(kept[-1]), len(kept)) == (999, 0, 20)
    assert (gaps.diff() < 0).all()


@pytest.mark.parametrize("spacing", ["uniform", "quadratic"])
def test_a_chain_that_is_short_already_is_taken_with_each_timestep_once(spacing):
    chain, *_ = make(10)
    kept = thinned(chain, 50, spacing).timesteps
    assert len(kept.unique()) == len(kept) <= 10
    if spacing == "uniform":
        assert torch.equal(sample("fewer-steps", chain, {"steps": 50}).x0, list(chain.walk())[-1])


def test_all_rivals_and_no_others_are_said_to_be_inexact():
    assert RIVALS == ["dpm-solver", "fewer-steps", "heun"]
    chain, *_ = make(50)
    for name in RIVALS:
        assert relative(sample(name, chain, {"steps": 10}).x0, list(chain.walk())[-1]) > 1e-3


@pytest.mark.parametrize("name", RIVALS)
def test_what_a_rival_does_not_take_is_one_clear_sentence(name):
    chain, *_ = make(10)
    noisy, *_ = make(10, eta=0.5)
    with pytest.raises(UserError, match="expected no eta > 0, since its steps add no noise"):
        sample(name, noisy, {})
    with pytest.raises(UserError, match=r"steps: expected an integer in \[1, 1000000\]; found 0"):
        sample(name, chain, {"steps": 0})
    with pytest.raises(UserError, match='spacing: expected one of uniform, quadratic; found "cubic"'):
        sample(name, chain, {"spacing": "cubic"})
    with pytest.raises(UserError, match="order: expected one of 2, 3; found 4"):
        sample("dpm-solver", chain, {"order": 4})
