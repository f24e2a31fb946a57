"""The contract of every inverter in the folder, and what each of those without optimisation finds."""

from dataclasses import replace

import pytest
import scipy.optimize
import torch
from diffusers import DDIMInverseScheduler

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import reconstruct
from deqbench.diffusion.inverters import invert, inverters
from deqbench.diffusion.mixtures import GaussianMixture, smooth_centres
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError
from tests import oracles
from tests.diffusion.test_chain import relative

SHORT = {"descent": {"epochs": 3}, "lbfgs": {"epochs": 2}, "sweeps": {"max_iter": 40, "tol": 1e-3}}
SOLVING = ("backward-euler", "joint-backward", "sweeps")
TIGHT = {
    "backward-euler": {"tol": 1e-12, "max_iter": 100, "m": 20},
    "joint-backward": {"tol": 1e-12, "max_iter": 200, "m": 20},
    "sweeps": {"tol": 1e-16, "max_iter": 600},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def case(steps=6, *, eta=0.0, images=3, deviation=0.4, grid="uniform-paper"):
    """Chains of a mixture of Gaussians in float64, images that they lead to, and their counted predictor."""
    made = oracles.scheduler()
    schedule = Schedule.of(made)
    mixture = GaussianMixture(smooth_centres(3, (1, 4, 4), 0), deviation, schedule.alpha_bar)
    predictor = NoisePredictor(mixture, schedule.alpha_bar)
    random = torch.Generator().manual_seed(2)
    start, end = (torch.randn(images, 1, 4, 4, generator=random, dtype=torch.float64) for _ in range(2))
    noise = torch.randn(images, steps, 1, 4, 4, generator=random, dtype=torch.float64) if eta else None
    chain = DDIMChain.make(predictor, schedule, grid, steps, start, eta=eta, noise=noise)
    target = reconstruct(chain, end)
    predictor.evaluations = 0
    return chain, target, end, predictor


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("name", inverters())
def test_every_inverter_counts_what_the_network_saw_and_tells_its_start_first(name, eta):
    chain, target, _, predictor = case(eta=eta)
    told = []
    found = invert(name, chain, target, SHORT.get(name, {}), lambda step: told.append((step.number, step.x_T.clone())))
    assert int(found.nfe.sum()) == predictor.evaluations
    assert told[0][0] == 0
    assert torch.equal(told[0][1], chain.x_T)
    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert len(told) >= 2
    assert set(found.stopped) <= {"converged", "max_iter"}
    assert loss(reconstruct(chain, found.x_T), target).sum() < loss(reconstruct(chain, chain.x_T), target).sum()


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
    found = invert(name, chain, spoilt, SHORT.get(name, {}))
    assert [word == "diverged" for word in found.stopped] == [False, True, False]
    assert relative(found.x_T[[0, 2]], invert(name, chain, target, SHORT.get(name, {})).x_T[[0, 2]]) < 1e-6


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
    found = invert(name, chain, target, TIGHT[name])
    assert set(found.stopped) == {"converged"}
    assert loss(reconstruct(chain, found.x_T), target).max() < 1e-14
    assert relative(found.x_T, end) < 1e-6


@pytest.mark.parametrize("first", ["target", "noised", "encoding", "trajectory"])
@pytest.mark.parametrize("name", ["joint-backward", "sweeps"])
def test_all_first_states_lead_to_the_same_start(name, first):
    chain, target, end, predictor = case()
    found = invert(name, chain, target, {**TIGHT[name], "first": first})
    assert relative(found.x_T, end) < 1e-6
    assert int(found.nfe.sum()) == predictor.evaluations


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
    found = invert("backward-euler", chain, target, {"max_iter": 1})
    assert torch.equal(found.x_T, invert("encoding", chain, target, {}).x_T)


def test_sweeps_say_converged_only_of_losses_within_the_tolerance():
    chain, target, *_ = case()
    for tol in (1e-2, 1e-5, 1e-8):
        found = invert("sweeps", chain, target, {"tol": tol})
        assert set(found.stopped) == {"converged"}
        assert (loss(reconstruct(chain, found.x_T), target) <= tol).all()
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
    found = invert("sweeps", chain, target, {"tol": 1e-4})
    assert set(found.stopped) == {"converged"}
    assert (found.rounds > once.rounds).any()


@pytest.mark.parametrize("first", ["target", "noised", "encoding", "trajectory"])
def test_a_window_of_all_steps_or_more_is_no_window(first):
    chain, target, *_ = case()
    plain = invert("sweeps", chain, target, {"first": first, "tol": 1e-6})
    for window in (6, 9):
        found = invert("sweeps", chain, target, {"first": first, "tol": 1e-6, "window": window, "patience": 1})
        assert torch.equal(found.x_T, plain.x_T)
        assert torch.equal(found.nfe, plain.nfe)


@pytest.mark.parametrize("eta", [0.0, 0.3])
@pytest.mark.parametrize("first", ["target", "noised", "encoding"])
@pytest.mark.parametrize("window", [1, 4])
def test_a_window_finds_the_start_that_the_target_was_sampled_from(window, first, eta):
    chain, target, end, predictor = case(12, eta=eta)
    found = invert("sweeps", chain, target, {**TIGHT["sweeps"], "first": first, "window": window})
    assert set(found.stopped) == {"converged"}
    assert relative(found.x_T, end) < 1e-6
    assert int(found.nfe.sum()) == predictor.evaluations


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
    found = invert("sweeps", chain, target, {"tol": 0.0, "window": 4, "patience": 3, "max_iter": 500})
    assert found.stopped == ("max_iter", "max_iter")
    assert found.rounds.tolist() == [3 * 12] * 2


def test_sweeps_keep_the_given_start_where_nothing_is_better():
    chain, target, end, _ = case()
    found = invert("sweeps", replace(chain, x_T=end), target, {"max_iter": 1, "tol": 1e-20})
    assert torch.equal(found.x_T, end)


def test_sweeps_polish_what_lies_out_of_reach():
    """With eta 1 the noises overrule x_T: images drawn at random cannot be met, and gradients find the nearest."""
    chain, target, *_ = case(eta=1.0, images=2)
    target = target + torch.randn(target.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    plain = invert("sweeps", chain, target, {"max_iter": 15})
    polished = invert("sweeps", chain, target, {"max_iter": 15, "polish": 20})
    before, after = (loss(reconstruct(chain, found.x_T), target) for found in (plain, polished))
    assert (after <= before).all()
    assert (after < before).any()
    assert (polished.vjps > 0).any()
