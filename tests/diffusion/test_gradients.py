"""The contract of every gradient of the inversion loss."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import gradient, gradients, loss
from deqbench.errors import UserError
from deqbench.solvers import solve
from tests.diffusion.chains import relative
from tests.diffusion.inversion_problems import ADJOINTS, ROUGH, TAU, problem, unrolled

# Every gradient with settings that matter; a file that is not named here runs with its own defaults.
VARIANTS = {
    "backprop": [{}, {"checkpointing": True}],
    "implicit": [{"adjoint": adjoint, **forward} for adjoint in ADJOINTS for forward in ({}, ROUGH)],
    "phantom": [{"steps": steps, "tau": TAU, **forward} for steps in (1, 3) for forward in ({}, ROUGH)]
    + [{"forward": "secant"}],
    "released": [{}, {"forward": "sequential"}, {"forward": "secant"}],
}

CASES = [(name, options) for name in gradients() for options in VARIANTS.get(name, [{}])]

each = pytest.mark.parametrize(("name", "options"), CASES)


@each
def test_the_gradient_of_an_image_does_not_depend_on_its_batch(name, options):
    chain, target, _ = problem()
    together = gradient(name, chain, target, options)
    for i in range(len(target)):
        alone = gradient(name, chain.select(torch.tensor([i])), target[i : i + 1], options)
        assert relative(alone.gradient[0], together.gradient[i]) < 1e-9
        assert float(alone.loss[0]) == pytest.approx(float(together.loss[i]), rel=1e-9)
        assert int(alone.vjps[0]) == int(together.vjps[i])


@each
def test_the_evaluations_reported_are_those_that_the_network_saw(name, options):
    chain, target, predictor = problem(eta=0.5)
    result = gradient(name, chain, target, options)
    assert int(result.nfe.sum()) == predictor.evaluations
    assert result.loss.dtype == torch.float64 and result.gradient.dtype == target.dtype
    assert torch.equal(result.loss, loss(result.x0, target))
    assert not result.gradient.requires_grad and not result.x0.requires_grad


class Counting(torch.autograd.Function):
    """The identity; its backward counts the images that pass."""

    seen = 0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, v):
        Counting.seen += len(v)
        return v


@each
def test_the_products_reported_are_those_that_went_through_the_network(name, options):
    chain, target, _ = problem()
    inner = chain.eps_model
    watched = replace(chain, eps_model=lambda x, t: Counting.apply(inner(x, t)))
    Counting.seen = 0
    assert int(gradient(name, watched, target, options).vjps.sum()) == Counting.seen


@each
def test_a_network_that_gives_nan_is_seen_in_the_loss(name, options):
    chain, target, _ = problem()
    broken = replace(chain, eps_model=lambda x, t: torch.where(x[:, :1] > 1e9, x, torch.nan) * x)
    result = gradient(name, broken, target, options)
    assert not result.loss.isfinite().any()
    assert not result.gradient.isfinite().all()


@each
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_chain_of_one_step_has_one_exact_gradient(name, options, eta):
    chain, target, _ = problem(1, eta=eta)
    result = gradient(name, chain, target, options)
    exact = unrolled(chain, target)
    if name == "released":
        assert relative(result.gradient, exact) > 0.05  # no network term even here
        return
    share = 1 - (1 - options.get("tau", 0.1)) ** options.get("steps", 1) if name == "phantom" else 1.0
    if options.get("forward") in ("sequential", None):
        assert relative(result.gradient, share * exact) < 1e-9


def test_solves_may_start_at_the_first_states_for_ever_or_at_the_last_ones():
    chain, target, _ = problem()
    moved = replace(chain, x_T=chain.x_T + 0.5)
    options = {"start": "first", "tol": 0.0, "max_iter": 3}
    stale = gradient("released", chain, target, options).states
    assert torch.equal(stale, chain.initial())
    later = gradient("released", moved, target, options, states=stale)
    assert torch.equal(later.states, stale)
    again = solve(moved, chain.initial(), solver="anderson", tol=0.0, max_iter=3)
    assert (
        relative(later.states, again.z) > 0.1
        and relative(later.x0, 0.1 * again.z[:, -1] + 0.9 * again.state[:, -1]) < 1e-12
    )
    warm = gradient("released", chain, target, {"tol": 1e-10, "max_iter": 30})
    assert gradient("released", chain, target, {}, states=warm.states).rounds.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("phantm", {}, "did you mean 'phantom'"),
        ("phantom", {"steps": 0}, r"steps: expected an integer in \[1, 1000000\]; found 0"),
        ("phantom", {"tau": 0.0}, r"tau: expected a number in \(0, 1\]; found 0"),
        ("phantom", {"forward": "walk"}, 'expected one of sequential, joint, secant; found "walk"'),
        ("phantom", {"m": 5}, "forward sequential takes no option m"),
        ("released", {"start": "ones"}, 'start: expected one of x_T, zeros, first; found "ones"'),
        ("released", {"solver": "andersen"}, "did you mean 'anderson'"),
        ("implicit", {"adjoint": "cg"}, "adjoint: expected one of back-substitution, gmres"),
        ("implicit", {"adjoint_max_iter": 0}, r"adjoint_max_iter: expected an integer in \[1, 1000000\]"),
    ],
)
def test_an_unknown_gradient_or_setting_is_one_clear_sentence(name, options, words):
    chain, target, _ = problem(3)
    with pytest.raises(UserError, match=words):
        gradient(name, chain, target, options)
