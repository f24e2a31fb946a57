"""The contract of every inverter in the folder, and what each of those without optimisation finds."""

import pytest
import scipy.optimize
import torch
from diffusers import DDIMInverseScheduler

from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import reconstruct
from deqbench.diffusion.inverters import invert, inverters
from deqbench.errors import UserError
from tests.diffusion.chains import relative
from tests.diffusion.inversions import SHORT, SOLVING, TIGHT, case


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("name", inverters())
def test_every_inverter_counts_what_the_network_saw_and_tells_its_start_first(name, eta):
    chain, target, _, predictor = case(eta=eta)
    told = []
    inversion = invert(
        name, chain, target, SHORT.get(name, {}), lambda step: told.append((step.number, step.x_T.clone()))
    )
    assert int(inversion.nfe.sum()) == predictor.evaluations
    assert told[0][0] == 0
    assert torch.equal(told[0][1], chain.x_T)
    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert len(told) >= 2
    assert set(inversion.stopped) <= {"converged", "max_iter"}
    assert loss(reconstruct(chain, inversion.x_T), target).sum() < loss(reconstruct(chain, chain.x_T), target).sum()


@pytest.mark.parametrize("name", inverters())
def test_an_image_in_a_batch_is_inverted_as_if_it_were_alone(name):
    chain, target, *_ = case()
    together = invert(name, chain, target, SHORT.get(name, {}))
    for i in range(len(target)):
        alone = invert(name, chain.select(torch.tensor([i])), target[i : i + 1], SHORT.get(name, {}))
        assert relative(together.x_T[i : i + 1], alone.x_T) < 1e-6
        counts = (together.rounds[i], together.nfe[i], together.vjps[i], together.stopped[i])
        assert counts == (alone.rounds[0], alone.nfe[0], alone.vjps[0], alone.stopped[0])


@pytest.mark.parametrize("name", inverters())
def test_an_image_that_is_not_finite_diverges_by_itself(name):
    chain, target, *_ = case()
    spoilt = target.clone()
    spoilt[1] = float("nan")
    inversion = invert(name, chain, spoilt, SHORT.get(name, {}))
    assert [word == "diverged" for word in inversion.stopped] == [False, True, False]
    assert relative(inversion.x_T[[0, 2]], invert(name, chain, target, SHORT.get(name, {})).x_T[[0, 2]]) < 1e-6


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("encoding", {"tol": 1.0}, "tol: expected none; found an unknown option"),
        ("backward-euler", {"max_iter": 0}, "max_iter: expected an integer in"),
        ("backward-euler", {"solver": "andersen"}, "did you mean 'anderson'"),
        ("joint-backward", {"first": "targets"}, "first: expected one of target, noised, encoding, trajectory"),
        ("sweeps", {"max_iter": 0}, "max_iter: expected an integer in .*; found 0"),
        ("sweeps", {"tol": -1.0}, "tol: expected a number in .*; found -1.0"),
        ("sweeps", {"first": "nowhere"}, "first: expected one of"),
        ("sweeps", {"window": 0}, "window: expected an integer in .* or null; found 0"),
        ("sweeps", {"patience": 0}, "patience: expected an integer in .*; found 0"),
        (
            "sweeps",
            {"first": "trajectory", "window": 3},
            "first: expected one of target, noised, encoding; found 'traj",
        ),
        ("lbfgs", {"epochs": 0}, "epochs: expected an integer in .*; found 0"),
    ],
)
def test_a_wrong_option_is_answered_by_a_sentence(name, options, sentence):
    chain, target, *_ = case()
    with pytest.raises(UserError, match=sentence):
        invert(name, chain, target, options)


@pytest.mark.parametrize("eta", [0.0, 0.3])
@pytest.mark.parametrize("name", SOLVING)
def test_solvers_find_the_start_that_the_target_was_sampled_from(name, eta):
    chain, target, end, _ = case(eta=eta)
    inversion = invert(name, chain, target, TIGHT[name])
    assert set(inversion.stopped) == {"converged"}
    assert loss(reconstruct(chain, inversion.x_T), target).max() < 1e-14
    assert relative(inversion.x_T, end) < 1e-6


@pytest.mark.parametrize("first", ["target", "noised", "encoding", "trajectory"])
@pytest.mark.parametrize("name", ["joint-backward", "sweeps"])
def test_all_first_states_lead_to_the_same_start(name, first):
    chain, target, end, predictor = case()
    inversion = invert(name, chain, target, {**TIGHT[name], "first": first})
    assert relative(inversion.x_T, end) < 1e-6
    assert int(inversion.nfe.sum()) == predictor.evaluations


@pytest.mark.parametrize("name", ["joint-backward", "sweeps"])
def test_states_a_call_bound_the_calls_and_leave_the_result(name, monkeypatch):
    chain, target, _, predictor = case()
    whole = invert(name, chain, target, {**TIGHT[name], "at_once": None})
    sizes = []
    once = predictor._call
    monkeypatch.setattr(predictor, "_call", lambda x, t: sizes.append(len(x)) or once(x, t))
    parted = invert(name, chain, target, {**TIGHT[name], "at_once": 5})
    assert max(sizes) <= 5 < len(target) * chain.steps
    assert relative(parted.x_T, whole.x_T) < 1e-6
    with pytest.raises(UserError, match=r"at_once: expected an integer in .* or null; found 0"):
        invert(name, chain, target, {"at_once": 0})


@pytest.mark.parametrize("name", ["joint-backward", "sweeps"])
def test_from_the_encoding_the_encoding_is_told_first(name):
    chain, target, *_ = case()
    told = []
    invert(
        name,
        chain,
        target,
        {"first": "encoding", "max_iter": 1},
        lambda step: told.append((step.number, step.x_T.clone())),
    )
    starts = [x_T for number, x_T in told if number == 0]
    assert torch.equal(starts[-1], invert("encoding", chain, target, {}).x_T)


def test_the_encoding_is_a_loop_of_the_formula():
    chain, target, *_ = case(steps=7)
    x = target
    a = chain.alpha_bar
    for j in range(6, -1, -1):
        eps = chain.eps_model(x, chain.timesteps[j].expand(len(x)))
        x0 = (x - (1 - a[j + 1]).sqrt() * eps) / a[j + 1].sqrt()
        x = a[j].sqrt() * x0 + (1 - a[j]).sqrt() * eps
    assert relative(invert("encoding", chain, target, {}).x_T, x) < 1e-12


def test_the_encoding_is_that_of_the_inverse_scheduler_of_diffusers():
    chain, target, *_ = case(steps=10, grid="uniform-released")
    inverse = DDIMInverseScheduler(clip_sample=False, timestep_spacing="leading")
    inverse.alphas_cumprod = inverse.alphas_cumprod.double()
    inverse.initial_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    inverse.set_timesteps(10)
    x = target
    for t in inverse.timesteps:
        x = inverse.step(chain.eps_model(x, t.expand(len(x))), t, x).prev_sample
    assert relative(invert("encoding", chain, target, {}).x_T, x) < 1e-5  # the chain's tables were float32 once


def test_backward_euler_finds_the_roots_that_scipy_finds():
    chain, target, *_ = case(steps=3, images=1)
    x = target
    for j in range(2, -1, -1):

        def gap(flat, j=j, after=x):
            return (chain.step(torch.from_numpy(flat).view_as(after), j) - after).flatten().numpy()

        x = torch.from_numpy(scipy.optimize.root(gap, x.flatten().numpy(), tol=1e-13).x).view_as(x)
    assert relative(invert("backward-euler", chain, target, TIGHT["backward-euler"]).x_T, x) < 1e-8


def test_one_evaluation_a_step_makes_backward_euler_the_encoding():
    chain, target, *_ = case()
    inversion = invert("backward-euler", chain, target, {"max_iter": 1})
    assert torch.equal(inversion.x_T, invert("encoding", chain, target, {}).x_T)
