"""Derivatives of fixed points against dense formulas, finite differences, closed forms and unrolled rounds."""

import math
import warnings

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from deqbench import NotConverged, fixed_point
from deqbench.measure.saved import SavedBytes
from deqbench.solvers import solvers
from deqbench.solvers.anderson import Anderson
from tests.problems import random
from tests.solvers.layers import B, Cell, D, N, apart, batch, score_loss, unrolled

ADJOINTS = ("dense", "gmres", *(name for name in solvers() if name != "secant"))
TIGHT = {"tol": 1e-13, "max_iter": 300}
each = pytest.mark.parametrize("adjoint", ADJOINTS)
pytestmark = pytest.mark.filterwarnings("error::deqbench.solvers.resolvent.NotConverged")


@each
def test_first_derivatives_are_those_of_the_dense_implicit_formula(adjoint):
    cell, (z0, x), v = Cell(), batch(), random(B, N, seed=4)
    equilibrium = fixed_point(cell, z0, x, adjoint=adjoint, **TIGHT)
    J, Jx = cell.jacobians(equilibrium.z.detach())
    u = torch.linalg.solve((torch.eye(N) - J).mT, v)
    grads = torch.autograd.grad(equilibrium.z, [x, cell.W, cell.U], v)
    slopes = u * (1 - equilibrium.z.detach() ** 2)
    exact = (u[:, None] @ Jx)[:, 0], slopes.T @ equilibrium.z.detach(), slopes.T @ x.detach()
    for grad, right in zip(grads, exact, strict=True):
        assert apart(grad, right) < 1e-8
    assert len(equilibrium.linear_solves) == 1 and equilibrium.linear_solves[0].transposed
    assert equilibrium.rounds.unique().numel() > 1  # the samples did not converge together


@each
def test_second_derivatives_are_those_of_unrolled_rounds(adjoint):
    cell, (z0, x) = Cell(), batch()
    equilibrium = fixed_point(cell, z0, x, adjoint=adjoint, **TIGHT)
    leaves = [x, cell.W, cell.U]
    grads = torch.autograd.grad(score_loss(equilibrium.z, x), leaves)
    exact = torch.autograd.grad(score_loss(unrolled(cell, z0, x), x), leaves)
    assert max(map(apart, grads, exact)) < 1e-9


@pytest.mark.parametrize("adjoint", ["dense", "anderson"])
def test_second_derivatives_are_the_differences_of_first_ones(adjoint):
    cell, (z0, x) = Cell(), batch()
    leaves = [x, cell.W, cell.U]

    def value(step, directions):
        with torch.no_grad():
            moved = [leaf + step * u for leaf, u in zip(leaves, directions, strict=True)]
        point, W, U = (leaf.detach().requires_grad_() for leaf in moved)
        z = fixed_point(lambda z, x: torch.tanh(z @ W.T + x @ U.T), z0, point, adjoint=adjoint, **TIGHT).z
        return float(score_loss(z, point).detach())

    grads = torch.autograd.grad(score_loss(fixed_point(cell, z0, x, adjoint=adjoint, **TIGHT).z, x), leaves)
    for seed in range(4):
        directions = [random(*leaf.shape, seed=10 * seed + i) for i, leaf in enumerate(leaves)]
        slope = (value(1e-5, directions) - value(-1e-5, directions)) / 2e-5
        assert sum(float((g * u).sum()) for g, u in zip(grads, directions, strict=True)) == pytest.approx(
            slope, rel=1e-6
        )


@pytest.mark.parametrize("adjoint", ["dense", "gmres", "anderson"])
def test_autograds_own_checks_of_first_and_second_derivatives_pass(adjoint):
    cell, (z0, x) = Cell(), batch()

    def solution(x, W, U):
        return fixed_point(lambda z, x: torch.tanh(z @ W.T + x @ U.T), z0[:2], x, adjoint=adjoint, **TIGHT).z

    inputs = x.detach()[1:3].requires_grad_(), cell.W, cell.U
    assert gradcheck(solution, inputs, fast_mode=True) and gradgradcheck(solution, inputs, fast_mode=True)


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_scalar_fixed_point_has_the_derivatives_of_its_inverse_function(times):
    """x = z - a cos z, so that the k-th derivative of z follows from those of the inverse.

    torchdeq 0.1.0 with ift=True is silently wrong from the second on: for z = tanh(0.8 z + 0.7) it gives -0.454 where
    -0.659 is right.
    """
    a, x = 0.9, torch.tensor([[0.4], [-2.0]], dtype=torch.float64, requires_grad=True)
    z = fixed_point(lambda z, x: x + a * torch.cos(z), torch.zeros_like(x), x, order=times, adjoint="dense", **TIGHT).z
    exact, point = z.detach().clone(), z.detach().clone().requires_grad_()
    slope = 1 / (1 + a * torch.sin(point))  # dz/dx as a function of z; each further derivative is slope * d/dz
    for k in range(times):
        exact = slope if k == 0 else slope * torch.autograd.grad(exact.sum(), point, create_graph=True)[0]
        (z,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    torch.testing.assert_close(z, exact, rtol=1e-9, atol=1e-9)


def test_score_matching_through_a_convolution_has_the_derivatives_of_unrolled_rounds():
    """The parameters' gradient of v^T H v, H the Hessian of a log density in x: three differentiations."""
    torch.manual_seed(0)
    of_z, of_x = torch.nn.Conv2d(2, 2, 3, padding=1).double(), torch.nn.Conv2d(1, 2, 3, padding=1).double()
    x, v = random(3, 1, 4, 4, seed=1).requires_grad_(), random(3, 1, 4, 4, seed=2)

    def f(z, x):
        return torch.nn.functional.softplus(0.5 * of_z(z) + of_x(x))

    def curvature(z):
        (score,) = torch.autograd.grad(-(z**2).sum() - (x**2).sum(), x, create_graph=True)
        (pushed,) = torch.autograd.grad((score * v).sum(), x, create_graph=True)
        return (pushed * v).sum() + (score * v).sum() ** 2 / 2

    z0 = torch.zeros(3, 2, 4, 4).double()
    z = fixed_point(f, z0, x, order=3, adjoint="gmres", **TIGHT).z
    grads, exact = (
        torch.autograd.grad(curvature(state), [of_z.weight, of_x.weight]) for state in (z, unrolled(f, z0, x))
    )
    assert max(map(apart, grads, exact)) < 1e-9


def test_what_the_graph_keeps_does_not_grow_with_the_rounds():
    cell, (z0, x) = Cell(), batch()
    kept = []
    for rounds in (3, 12):
        with SavedBytes([x, *cell.parameters()]) as saved:
            equilibrium = fixed_point(cell, z0, x, tol=0.0, max_iter=rounds)
        kept.append(saved.live)
        assert equilibrium.rounds.max() == rounds
    assert kept[0] == kept[1] < 10 * z0.nbytes


@pytest.mark.parametrize("order", [1, 2])
def test_one_differentiation_too_many_is_refused_in_a_sentence(order):
    cell, (z0, x) = Cell(), batch()
    y = fixed_point(cell, z0, x, order=order).z
    for _ in range(order):
        (y,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=f"order: expected at least {order + 1}, .* found {order}"):
        torch.autograd.grad((y**2).sum(), x)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("tau", [1.0, 0.4])
def test_the_phantom_gradient_is_the_cut_series_of_damped_steps(steps, tau):
    cell, (z0, x), v = Cell(), batch(), random(B, N, seed=4)
    z = fixed_point(cell, z0, x, derivative="phantom", steps=steps, tau=tau, **TIGHT).z
    J, Jx = cell.jacobians(z.detach())
    carried = (1 - tau) * torch.eye(N).double() + tau * J
    series = sum(torch.linalg.matrix_power(carried, k) for k in range(steps))
    exact = tau * (v[:, None] @ series @ Jx)[:, 0]
    (grad,) = torch.autograd.grad(z, x, v)
    assert apart(grad, exact) < 1e-9
    (implicit,) = torch.autograd.grad(fixed_point(cell, z0, x, **TIGHT).z, x, v)
    assert apart(grad, implicit) > 1e-3


def test_unrolled_rounds_are_differentiated_from_the_start_on():
    cell, (_, x) = Cell(), batch()
    z0 = random(B, N, seed=5).requires_grad_()
    equilibrium = fixed_point(cell, z0, x, derivative="unrolled", tol=0.0, max_iter=7)
    leaves = [z0, x, cell.W]
    exact = torch.autograd.grad((unrolled(cell, z0, x, 7) ** 2).sum(), leaves)
    assert max(map(apart, torch.autograd.grad((equilibrium.z**2).sum(), leaves), exact)) < 1e-14


def test_only_what_wants_a_gradient_gets_one_and_no_grad_mode_asks_for_none():
    cell, (z0, x) = Cell(), batch()
    plain = fixed_point(cell, z0, x.detach(), **TIGHT)  # parameters that f closes over
    exact = torch.autograd.grad(unrolled(cell, z0, x).sum(), cell.W)[0]
    assert apart(torch.autograd.grad(plain.z.sum(), cell.W)[0], exact) < 1e-9
    with torch.no_grad():
        assert not fixed_point(cell, z0, x).z.requires_grad
    calls = []
    cell.requires_grad_(False)
    still = fixed_point(lambda z, x: calls.append(1) or cell(z, x), z0, x.detach())
    assert not still.z.requires_grad and len(calls) <= still.rounds.max() + 1
    constant = fixed_point(lambda z, x: 0 * z + x @ cell.U.T, z0, x, adjoint="gmres")  # f that does not depend on z
    assert apart(torch.autograd.grad(constant.z.sum(), x)[0], cell.U.sum(0).expand(B, D)) < 1e-12
    other = fixed_point(lambda z, x: x @ cell.U.T, z0, x)
    assert apart(torch.autograd.grad(other.z.sum(), x)[0], cell.U.sum(0).expand(B, D)) < 1e-12


def test_a_start_at_the_last_solution_is_a_constant_and_saves_the_rounds():
    cell, (z0, x) = Cell(), batch()
    first = fixed_point(cell, z0, x, **TIGHT)
    again = fixed_point(cell, first.z, x, **TIGHT)
    assert again.rounds.max() == 1
    grads = [torch.autograd.grad((equilibrium.z**2).sum(), x)[0] for equilibrium in (first, again)]
    assert apart(*grads) < 1e-10


def test_plain_training_costs_one_adjoint_solve_whatever_the_order():
    cell, (z0, x) = Cell(), batch()
    grads, products = [], []
    for order in (1, 2, 3):
        equilibrium = fixed_point(cell, z0, x, order=order, **TIGHT)
        grads.append(torch.autograd.grad((equilibrium.z**2).sum(), cell.W)[0])
        products.append(equilibrium.products)
    assert products[0] == products[1] == products[2] > 0
    assert torch.equal(grads[0], grads[1]) and torch.equal(grads[0], grads[2])


def test_float32_and_states_of_any_shape_work_alike():
    cell, (z0, x) = Cell(dtype=torch.float32), batch(torch.float32)
    shaped = fixed_point(
        lambda z, x: cell(z.flatten(1), x).view(z.shape), z0.view(B, 1, N, 1), x, adjoint=Anderson(m=3)
    )
    grad = torch.autograd.grad(score_loss(shaped.z.flatten(1), x), cell.W)[0]
    exact = torch.autograd.grad(score_loss(unrolled(cell, z0, x), x), cell.W)[0]
    assert apart(grad, exact) < 1e-4


def test_a_sample_without_a_fixed_point_is_named_and_leaves_the_others_alone():
    x = torch.tensor([[0.5], [3.0], [-1.0]], dtype=torch.float64, requires_grad=True)

    def f(z, x):  # the second sample grows without bound
        return torch.where(x > 2, z**2 + x, 0.5 * torch.sin(z) + x)

    with pytest.warns(
        NotConverged, match=r"fixed point: 1 of 3 samples are short of tol 1e-10 after 90 rounds; .* inf"
    ):
        equilibrium = fixed_point(f, torch.zeros_like(x), x, solver="picard", adjoint="picard", tol=1e-10, max_iter=90)
    assert equilibrium.converged.tolist() == [True, False, True] and equilibrium.stopped[1] == "diverged"
    with pytest.warns(NotConverged, match="adjoint solve by picard: 1 of 3 samples"):
        (grad,) = torch.autograd.grad(equilibrium.z.sum(), x)
    exact = 1 / (1 - 0.5 * torch.cos(equilibrium.z))
    assert apart(grad[[0, 2]], exact[[0, 2]]) < 1e-9 and grad[1].isnan()


@pytest.mark.parametrize("adjoint", ["picard", "anderson", "gmres"])
def test_an_adjoint_cut_short_says_how_far_it_got(adjoint):
    cell, (z0, x) = Cell(norm=0.95), batch()
    equilibrium = fixed_point(cell, z0, x, adjoint=adjoint, adjoint_max_iter=2, **TIGHT)
    with pytest.warns(
        NotConverged, match=rf"adjoint solve by {adjoint}: . of 4 samples .* after \d products; .* is \d"
    ):
        torch.autograd.grad((equilibrium.z**2).sum(), x)
    reached = equilibrium.linear_solves[0]
    assert reached.relative.max() > 1e-4 and reached.products <= 3 * B
    with warnings.catch_warnings():  # tolerance 0 asks for a number of products, and gets it
        warnings.simplefilter("error")
        truncated = fixed_point(cell, z0, x, adjoint=adjoint, adjoint_tol=0.0, adjoint_max_iter=2, **TIGHT)
        torch.autograd.grad((truncated.z**2).sum(), x)


def test_a_singular_dense_system_gives_nan_and_a_warning():
    x = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    equilibrium = fixed_point(lambda z, x: z + 0 * x, torch.ones_like(x), x, adjoint="dense")
    with pytest.warns(NotConverged, match="adjoint solve by dense: 1 of 1 samples"):
        assert math.isnan(torch.autograd.grad(equilibrium.z.sum(), x)[0].item())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"derivative": "implicit"}, "derivative: expected one of exact, phantom, unrolled; found 'implicit'"),
        ({"adjoint": "gmers"}, "adjoint: expected one of dense, gmres, .*did you mean 'gmres'"),
        ({"order": 0}, "order: expected at least 1; found 0"),
        ({"steps": 0}, "steps: expected at least 1; found 0"),
        ({"tau": 1.5}, r"tau: expected a number in \(0, 1\]; found 1.5"),
        ({"adjoint_tl": 1e-3}, "adjoint_tl: expected one of .*; found an unknown option"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        fixed_point(lambda z: z, torch.zeros(1, 1), **options)
