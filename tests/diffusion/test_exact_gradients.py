"""Backpropagation and the implicit gradient against autograd through the chain."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import gradient, loss
from deqbench.diffusion.gradients.jacobian import Linearised
from deqbench.solvers import solve
from tests.diffusion.chains import SHAPE, relative
from tests.diffusion.inversion_problems import ADJOINTS, CONVERGED, ROUGH, differences, problem, unrolled


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_backpropagation_is_autograd_through_the_chain(eta, checkpointing):
    chain, target, _ = problem(eta=eta)
    result = gradient("backprop", chain, target, {"checkpointing": checkpointing})
    assert relative(result.gradient, unrolled(chain, target)) < 1e-13


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("forward", [{}, CONVERGED])
def test_the_implicit_gradient_is_autograd_through_the_chain(adjoint, eta, forward):
    chain, target, _ = problem(eta=eta)
    result = gradient("implicit", chain, target, {"adjoint": adjoint, "adjoint_tol": 1e-9, **forward})
    bound = 1e-10 if adjoint == "back-substitution" else 1e-5
    assert relative(result.gradient, unrolled(chain, target)) < bound
    if adjoint != "back-substitution":
        assert float(result.residual.max()) <= 1e-9


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_from_rough_states_the_implicit_gradient_is_that_of_the_chain_linearised_there(adjoint):
    chain, target, _ = problem()
    rough = solve(chain, chain.initial(), solver="anderson", m=3, tol=0.0, max_iter=4).z
    result = gradient("implicit", chain, target, {"adjoint": adjoint, "adjoint_tol": 1e-12, **ROUGH})
    # Dense matrices of the joint map at those states, by autograd, and a direct solve.
    one, z = chain.select(torch.tensor([0])), rough[:1]
    by_state = torch.autograd.functional.jacobian(one, z).reshape(z.numel(), z.numel())
    by_start = torch.autograd.functional.jacobian(lambda x: replace(one, x_T=x)(z), one.x_T)
    g = torch.zeros_like(z)
    g[:, -1] = 2 * (z[:, -1] - target[:1])
    v = torch.linalg.solve((torch.eye(z.numel()).to(z) - by_state).T, g.flatten())
    exact = v @ by_start.reshape(z.numel(), -1)
    assert relative(result.gradient[0].flatten(), exact) < 1e-9


def test_a_truncated_adjoint_is_wrong_and_says_how_far_it_got():
    chain, target, _ = problem(20)
    exact = unrolled(chain, target)
    for adjoint in ("gmres", "broyden", "neumann"):
        result = gradient("implicit", chain, target, {"adjoint": adjoint, "adjoint_max_iter": 3})
        assert relative(result.gradient, exact) > 1e-3
        assert float(result.residual.min()) > 1e-3
        assert int(result.vjps[0]) <= 1 + 4 * 19


def test_neumann_sums_are_exact_after_as_many_products_as_steps():
    chain, target, _ = problem(12)
    exact = unrolled(chain, target)
    options = {"adjoint": "neumann", "adjoint_tol": 0.0}
    assert relative(gradient("implicit", chain, target, {**options, "adjoint_max_iter": 12}).gradient, exact) < 1e-10
    assert relative(gradient("implicit", chain, target, {**options, "adjoint_max_iter": 6}).gradient, exact) > 1e-6


@pytest.mark.parametrize("name", ["backprop", "implicit"])
def test_exact_gradients_are_the_differences_of_the_loss(name):
    chain, target, _ = problem(5)

    def value(x_T):
        *_, x0 = replace(chain, x_T=x_T).walk()
        return loss(x0, target)

    result = gradient(name, chain, target, {}).gradient
    for u, slope in differences(value, chain.x_T):
        assert float((result * u).sum()) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_joint_map_and_its_transposed_jacobian_are_those_of_the_chain(eta):
    chain, _, _ = problem(6, eta=eta)
    generator = torch.Generator().manual_seed(5)
    z, v = (torch.randn(2, 6, *SHAPE[1:], generator=generator, dtype=torch.float64) for _ in range(2))
    result = Linearised(chain, z)
    assert relative(result.value(chain.step(chain.x_T, 0)), chain(z)) < 1e-12
    _, exact = torch.autograd.functional.vjp(chain, z, v)
    assert relative(result.transposed(v), exact) < 1e-12
