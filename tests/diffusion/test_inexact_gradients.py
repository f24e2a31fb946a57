"""The phantom gradient and the released code's, against autograd through the steps that they differentiate."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import gradient, loss
from deqbench.solvers import solve
from tests.diffusion.chains import relative
from tests.diffusion.inversion_problems import ROUGH, TAU, differences, problem


@pytest.mark.parametrize("forward", [{}, ROUGH])
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_phantom_gradient_is_autograd_through_the_damped_steps(steps, forward, eta):
    chain, target, _ = problem(eta=eta)
    if forward:
        result = solve(chain, chain.initial(), solver="anderson", m=3, tol=0.0, max_iter=4)
        z = result.state  # the first damped step is the solve's own last evaluation
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
    result = solve(chain, chain.initial(), solver="anderson", m=3, tol=0.0, max_iter=4)
    states = result.state if "solver" in forward else torch.stack(list(chain.walk()), 1)
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


@pytest.mark.parametrize("steps", [1, 3])
def test_the_phantom_gradient_is_the_differences_of_damped_steps_from_fixed_states(steps):
    chain, target, _ = problem(5)
    fixed = torch.stack(list(chain.walk()), 1)

    def value(x_T):
        z = fixed
        for _ in range(steps):
            z = TAU * replace(chain, x_T=x_T)(z) + (1 - TAU) * z
        return loss(z[:, -1], target)

    result = gradient("phantom", chain, target, {"steps": steps, "tau": TAU}).gradient
    for u, slope in differences(value, chain.x_T):
        assert float((result * u).sum()) == pytest.approx(slope, rel=1e-6)


def test_the_released_gradient_is_the_differences_of_a_damped_step_with_every_eps_fixed():
    chain, target, _ = problem(5)
    fixed = torch.stack(list(chain.walk()), 1)
    before = torch.cat([chain.x_T[:, None], fixed[:, :-1]], 1)
    eps = chain.step_terms(before.flatten(0, 1), torch.arange(5).repeat(2)).unflatten(0, (2, 5))

    def value(x_T):
        stepped = chain.combine(x_T, before, eps)
        return loss(TAU * stepped[:, -1] + (1 - TAU) * fixed[:, -1], target)

    result = gradient("released", chain, target, {"tau": TAU, "forward": "sequential"}).gradient
    for u, slope in differences(value, chain.x_T):
        assert float((result * u).sum()) == pytest.approx(slope, rel=1e-6)
