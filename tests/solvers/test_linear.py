"""Linear solves against scipy and dense matrices."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator
from scipy.sparse.linalg import gmres as scipys

from deqbench.solvers.linear import Jacobian, gmres
from deqbench.solvers.resolvent import Resolvent
from tests.problems import matrices, random
from tests.solvers.layers import B, Cell, N, apart, batch


@pytest.mark.parametrize("tol", [1e-12, 1e-4, 0.0, 2.0])
@pytest.mark.parametrize("most", [1, 4, 30])
def test_gmres_of_a_batch_is_that_of_scipy_for_each_sample_bit_for_bit(tol, most):
    A, b = matrices(4, 9, 0.9, seed=1), random(4, 9, seed=2)
    b[2] = 0
    calls = []
    v, residual, estimate = gmres(lambda v: calls.append(1) or torch.einsum("bij,bj->bi", A, v), b, tol, most)
    counts = []
    for i in range(4):
        norms = [float(b[i].any())]
        counts.append(0)

        def product(x, i=i):
            counts[i] += 1
            return x - torch.einsum("bij,bj->bi", A[i : i + 1], torch.from_numpy(x.reshape(1, -1))).numpy()[0]

        options = {"rtol": tol, "restart": most, "maxiter": 1, "callback": norms.append, "callback_type": "pr_norm"}
        x, _ = scipys(LinearOperator((9, 9), matvec=product, dtype=np.float64), b[i].numpy(), **options)
        np.testing.assert_array_equal(v[i].numpy(), x)
        assert float(estimate[i]) == norms[-1]
    assert len(calls) == max(counts)
    torch.testing.assert_close(residual, b + torch.einsum("bij,bj->bi", A, v) - v, rtol=1e-9, atol=1e-14)


def test_a_sample_that_is_not_finite_does_not_hold_up_the_others_nor_ask_for_products():
    A, b, calls = 0.5 * torch.eye(4).double().repeat(3, 1, 1), random(3, 4, seed=2), []
    b[0], A[1] = torch.nan, torch.nan

    def product(v, samples=slice(None)):
        calls.append(len(v))
        return torch.einsum("bij,bj->bi", A[samples], v)

    v, _, estimate = gmres(product, b, 1e-12, 20)
    assert v[:2].isnan().all() and estimate[:2].isnan().all()
    torch.testing.assert_close(v[2], 2 * b[2])
    assert len(calls) == 2  # one that solves the last system, one for its residual
    gmres(lambda v: product(v, slice(1)), b[:1], 1e-12, 20)
    assert len(calls) == 2


def test_products_and_matrices_are_those_of_the_jacobian():
    cell, (_, x) = Cell(), batch()
    z, v = random(B, N, seed=5), random(B, N, seed=6)
    J = Jacobian(lambda z: cell(z, x), z)
    dense, _ = cell.jacobians(cell(z, x).detach())
    assert apart(J.transposed(v), (v[:, None] @ dense)[:, 0]) < 1e-14
    assert apart(J.times(v), (dense @ v[:, :, None])[:, :, 0]) < 1e-14
    assert apart(J.dense(), dense) < 1e-14
    assert J.products == B * (2 + N)


class Squared(torch.autograd.Function):
    """z^2, by an operation that cannot be batched."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z**2

    @staticmethod
    def backward(ctx, v):
        return 2 * ctx.saved_tensors[0] * torch.from_numpy(v.numpy().copy())


def test_a_matrix_is_had_of_operations_that_cannot_be_batched_too():
    z = random(2, 3, seed=7)
    torch.testing.assert_close(Jacobian(Squared.apply, z).dense(), torch.diag_embed(2 * z))


@pytest.mark.parametrize("adjoint", ["dense", "gmres", "broyden"])
@pytest.mark.parametrize("transposed", [True, False])
def test_the_resolvent_is_the_dense_inverse_or_its_transpose(adjoint, transposed):
    cell, (z0, x), b = Cell(), batch(), random(B, N, seed=8)
    z = cell(z0, x).detach()
    system = Resolvent(lambda z: cell(z, x), z, adjoint=adjoint, tol=1e-12)
    J, _ = cell.jacobians(cell(z, x).detach())
    exact = torch.linalg.solve(torch.eye(N) - (J.mT if transposed else J), b)
    assert apart(system.solve(b, transposed), exact) < 1e-10
    products = system.solves[0].products
    system.solve(2 * b, not transposed)
    assert system.solves[1].products == (0 if adjoint == "dense" else system.solves[1].products) and products > 0
    assert [one.transposed for one in system.solves] == [transposed, not transposed]
