"""Every way to take the gradient of the inversion loss: a contract for all, and what each claims, against autograd."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import gradient, gradients, loss
from deqbench.diffusion.gradients.jacobian import Linearised
from deqbench.diffusion.network import NoisePredictor
from deqbench.errors import UserError
from deqbench.solvers import solve
from tests.diffusion.test_chain import SHAPE, make, relative

TAU = 0.3
CONVERGED = {"forward": "joint", "solver": "picard", "tol": 0.0, "max_iter": 40}
ROUGH = {"forward": "joint", "solver": "anderson", "m": 3, "tol": 0.0, "max_iter": 4}
ADJOINTS = ("back-substitution", "gmres", "broyden", "neumann")
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


def problem(steps=12, **options):
    """A chain of two images whose network counts, and a target."""
    chain, eps, _, made = make(steps, grid="uniform-paper", **options)
    predictor = NoisePredictor(eps, made.alphas_cumprod, max_batch=17)
    target = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7), dtype=chain.x_T.dtype)
    return replace(chain, eps_model=predictor), target, predictor


def unrolled(chain, target):
    """The gradient by plain autograd through every step of the sequential chain, written apart from `backprop`."""
    x_T = chain.x_T.clone().requires_grad_()
    *_, x0 = replace(chain, x_T=x_T).walk()
    ((x0 - target) ** 2).sum().backward()
    return x_T.grad


def differences(function, x, directions=6, step=1e-5):
    """Central differences of a function of x along random directions, and the directions."""
    generator = torch.Generator().manual_seed(11)
    for _ in range(directions):
        u = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        yield u, float((function(x + step * u) - function(x - step * u)).sum() / (2 * step))


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
    found = gradient(name, chain, target, options)
    assert int(found.nfe.sum()) == predictor.evaluations
    assert found.loss.dtype == torch.float64 and found.gradient.dtype == target.dtype
    assert torch.equal(found.loss, loss(found.x0, target))
    assert not found.gradient.requires_grad and not found.x0.requires_grad


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
    found = gradient(name, broken, target, options)
    assert not found.loss.isfinite().any()
    assert not found.gradient.isfinite().all()


@each
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_chain_of_one_step_has_one_exact_gradient(name, options, eta):
    chain, target, _ = problem(1, eta=eta)
    found = gradient(name, chain, target, options)
    exact = unrolled(chain, target)
    if name == "released":
        assert relative(found.gradient, exact) > 0.05  # no network term even here
        return
    share = 1 - (1 - options.get("tau", 0.1)) ** options.get("steps", 1) if name == "phantom" else 1.0
    if options.get("forward") in ("sequential", None):
        assert relative(found.gradient, share * exact) < 1e-9


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_backpropagation_is_autograd_through_the_chain(eta, checkpointing):
    chain, target, _ = problem(eta=eta)
    found = gradient("backprop", chain, target, {"checkpointing": checkpointing})
    assert relative(found.gradient, unrolled(chain, target)) < 1e-13


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("forward", [{}, CONVERGED])
def test_the_implicit_gradient_is_autograd_through_the_chain(adjoint, eta, forward):
    chain, target, _ = problem(eta=eta)
    found = gradient("implicit", chain, target, {"adjoint": adjoint, "adjoint_tol": 1e-9, **forward})
    bound = 1e-10 if adjoint == "back-substitution" else 1e-5
    assert relative(found.gradient, unrolled(chain, target)) < bound
    if adjoint != "back-substitution":
        assert float(found.residual.max()) <= 1e-9


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_from_rough_states_the_implicit_gradient_is_that_of_the_chain_linearised_there(adjoint):
    chain, target, _ = problem()
    rough = solve(chain, chain.initial(), solver="anderson", m=3, tol=0.0, max_iter=4).z
    found = gradient("implicit", chain, target, {"adjoint": adjoint, "adjoint_tol": 1e-12, **ROUGH})
    # Dense matrices of the joint map at those states, by autograd, and a direct solve.
    one, z = chain.select(torch.tensor([0])), rough[:1]
    by_state = torch.autograd.functional.jacobian(one, z).reshape(z.numel(), z.numel())
    by_start = torch.autograd.functional.jacobian(lambda x: replace(one, x_T=x)(z), one.x_T)
    g = torch.zeros_like(z)
    g[:, -1] = 2 * (z[:, -1] - target[:1])
    v = torch.linalg.solve((torch.eye(z.numel()).to(z) - by_state).T, g.flatten())
    exact = v @ by_start.reshape(z.numel(), -1)
    assert relative(found.gradient[0].flatten(), exact) < 1e-9


def test_a_truncated_adjoint_is_wrong_and_says_how_far_it_got():
    chain, target, _ = problem(20)
    exact = unrolled(chain, target)
    for adjoint in ("gmres", "broyden", "neumann"):
        found = gradient("implicit", chain, target, {"adjoint": adjoint, "adjoint_max_iter": 3})
        assert relative(found.gradient, exact) > 1e-3
        assert float(found.residual.min()) > 1e-3
        assert int(found.vjps[0]) <= 1 + 4 * 19


def test_neumann_sums_are_exact_after_as_many_products_as_steps():
    chain, target, _ = problem(12)
    exact = unrolled(chain, target)
    options = {"adjoint": "neumann", "adjoint_tol": 0.0}
    assert relative(gradient("implicit", chain, target, {**options, "adjoint_max_iter": 12}).gradient, exact) < 1e-10
    assert relative(gradient("implicit", chain, target, {**options, "adjoint_max_iter": 6}).gradient, exact) > 1e-6


@pytest.mark.parametrize("forward", [{}, ROUGH])
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_phantom_gradient_is_autograd_through_the_damped_steps(steps, forward, eta):
    chain, target, _ = problem(eta=eta)
    if forward:
        found = solve(chain, chain.initial(), solver="anderson", m=3, tol=0.0, max_iter=4)
        z = found.state  # the first damped step is the solve's own last evaluation
    else:
        z = torch.stack(list(chain.walk()), 1)
    x_T = chain.x_T.clone().requires_grad_()
    for _ in range(steps):
        z = TAU * replace(chain, x_T=x_T)(z) + (1 - TAU) * z
    ((z[:, -1] - target) ** 2).sum().backward()
    pulled = gradient("phantom", chain, target, {"steps": steps, "tau": TAU, **forward})
    assert relative(pulled.x0, z[:, -1].detach()) < 1e-12
    assert relative(pulled.gradient, x_T.grad) < 1e-11


def test_one_phantom_step_asks_for_one_product_of_the_network_whatever_the_chain():
    for steps in (10, 40):
        chain, target, _ = problem(steps)
        assert gradient("phantom", chain, target, {}).vjps.tolist() == [1, 1]
        assert gradient("phantom", chain, target, {}).nfe.tolist() == [steps, steps]


@pytest.mark.parametrize("forward", [{"forward": "sequential"}, ROUGH])
def test_the_released_gradient_is_that_of_a_damped_step_at_a_copy_of_the_states(forward):
    chain, target, _ = problem()
    found = solve(chain, chain.initial(), solver="anderson", m=3, tol=0.0, max_iter=4)
    states = found.state if "solver" in forward else torch.stack(list(chain.walk()), 1)
    # All slots x_T, x_1, ... are optimised; the equilibrium is a leaf of its own, and the step's eps are taken at it.
    slots = torch.cat([chain.x_T[:, None], states], 1).requires_grad_()
    leaf = slots.detach().clone().requires_grad_()
    before, after = chain.alpha_bar[:-1], chain.alpha_bar[1:]
    t = chain.timesteps.repeat(len(leaf))
    eps = chain.eps_model(leaf[:, :-1].flatten(0, 1), t).unflatten(0, leaf[:, 1:].shape[:2])
    slopes = (1 / after - 1).sqrt() - (1 / before - 1).sqrt()  # of x / sqrt(alpha_bar)
    total = torch.einsum("n,bn...->b...", slopes, eps)
    stepped = after[-1].sqrt() * (slots[:, 0] / before[0].sqrt() + total)
    x0 = TAU * stepped + (1 - TAU) * leaf[:, -1]
    ((x0 - target) ** 2).sum().backward()
    pulled = gradient("released", chain, target, {"tau": TAU, **forward})
    assert relative(pulled.x0, x0.detach()) < 1e-10
    assert relative(pulled.gradient, slots.grad[:, 0]) < 1e-6
    assert not slots.grad[:, 1:].any() and leaf.grad.any()  # what the network's backward pass finds is thrown away
    scale = TAU * float((chain.alpha_bar[-1] / chain.alpha_bar[0]).sqrt())
    assert relative(pulled.gradient, scale * 2 * (x0.detach() - target)) < 1e-6
    assert pulled.vjps.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["backprop", "implicit"])
def test_exact_gradients_are_the_differences_of_the_loss(name):
    chain, target, _ = problem(5)

    def value(x_T):
        *_, x0 = replace(chain, x_T=x_T).walk()
        return loss(x0, target)

    found = gradient(name, chain, target, {}).gradient
    for u, slope in differences(value, chain.x_T):
        assert float((found * u).sum()) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_phantom_gradient_is_the_differences_of_damped_steps_from_fixed_states(steps):
    chain, target, _ = problem(5)
    fixed = torch.stack(list(chain.walk()), 1)

    def value(x_T):
        z = fixed
        for _ in range(steps):
            z = TAU * replace(chain, x_T=x_T)(z) + (1 - TAU) * z
        return loss(z[:, -1], target)

    found = gradient("phantom", chain, target, {"steps": steps, "tau": TAU}).gradient
    for u, slope in differences(value, chain.x_T):
        assert float((found * u).sum()) == pytest.approx(slope, rel=1e-6)


def test_the_released_gradient_is_the_differences_of_a_damped_step_with_every_eps_fixed():
    chain, target, _ = problem(5)
    fixed = torch.stack(list(chain.walk()), 1)
    before = torch.cat([chain.x_T[:, None], fixed[:, :-1]], 1)
    eps = chain.step_terms(before.flatten(0, 1), torch.arange(5).repeat(2)).unflatten(0, (2, 5))

    def value(x_T):
        stepped = chain.combine(x_T, before, eps)
        return loss(TAU * stepped[:, -1] + (1 - TAU) * fixed[:, -1], target)

    found = gradient("released", chain, target, {"tau": TAU, "forward": "sequential"}).gradient
    for u, slope in differences(value, chain.x_T):
        assert float((found * u).sum()) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_joint_map_and_its_transposed_jacobian_are_those_of_the_chain(eta):
    chain, _, _ = problem(6, eta=eta)
    generator = torch.Generator().manual_seed(5)
    z, v = (torch.randn(2, 6, *SHAPE[1:], generator=generator, dtype=torch.float64) for _ in range(2))
    found = Linearised(chain, z)
    assert relative(found.value(chain.step(chain.x_T, 0)), chain(z)) < 1e-12
    _, exact = torch.autograd.functional.vjp(chain, z, v)
    assert relative(found.transposed(v), exact) < 1e-12


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
