"""Derivatives of small blocks and of their fixed points, by independent ways."""

import pytest
import torch
from torch.func import hessian, jacrev

from deqbench.experiments.deq_score_matching.phantom.blocks import Block, apart, by_autograd, by_differences

N, D = 5, 3


def block(seed: int = 0) -> tuple[Block, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    W, U, b, x = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((N, N), (N, D), (N,), (D,)))
    return Block(0.9 * W / W.norm(), U, b), x


def test_the_solved_state_is_a_fixed_point_to_rounding():
    f, x = block()
    z = f.solved(x[None])
    assert (f(z, x[None]) - z).abs().max() < 1e-15


def test_first_and_second_derivatives_of_the_block_are_autograd_s():
    f, x = block()
    z, parts = f.solved(x[None])[0], f.parts(x)

    def together(v: torch.Tensor) -> torch.Tensor:
        return f(v[None, :N], v[None, N:])[0]

    point = torch.cat([z, x])
    first, second = jacrev(together)(point), hessian(together)(point)
    torch.testing.assert_close(torch.cat([parts.J, parts.f_x], 1), first)
    torch.testing.assert_close(parts.f_zz, second[:, :N, :N])
    torch.testing.assert_close(parts.f_zx, second[:, :N, N:])
    torch.testing.assert_close(parts.f_xx, second[:, N:, N:])


def test_formula_differences_and_autograd_agree_on_the_fixed_point_s_derivatives():
    f, x = block()
    formula = f.parts(x).implicit()
    for made, orders in ((by_differences(f, x), (1e-8, 1e-5)), (by_autograd(f, x, adjoint="dense"), (1e-12, 1e-12))):
        for derivative, right, most in zip(made, formula, orders, strict=True):
            assert derivative.shape == right.shape and apart(derivative, right) < most


@pytest.mark.parametrize("K", [1, 2, 5])
def test_iterations_from_the_fixed_point_give_the_series_and_the_ordered_recursion(K):
    f, x = block()
    parts, (first, second) = f.parts(x), by_autograd(f, x, derivative="phantom", steps=K)
    assert apart(parts.series(K) @ parts.f_x, first) < 1e-13
    assert apart(parts.ordered(K), second) < 1e-13


def test_the_recursion_of_the_proof_needs_another_start_and_another_order():
    parts = block()[0].parts(block()[1])
    once, twice, thrice = (parts.ordered(K) for K in (1, 2, 3))
    assert apart(parts.recursion(1, first=1.0), once) > 0.01
    assert apart(parts.recursion(1, first=0.0), once) < 1e-15
    assert apart(parts.recursion(2, first=0.0), twice) < 1e-14  # all sums have one term yet
    assert apart(parts.recursion(3, first=0.0), thrice) > 0.01
    assert apart(parts.recursion(200, first=1.0), parts.recursion_limit()) < 1e-12
    assert apart(parts.recursion_limit(), parts.implicit()[1]) > 0.01


def test_of_one_state_all_factors_commute_and_the_proof_s_limit_is_right():
    f = Block(*(torch.tensor(v, dtype=torch.float64) for v in ([[0.7]], [[0.4, -1.0]], [0.3])))
    parts = f.parts(torch.tensor([0.2, 0.5], dtype=torch.float64))
    assert apart(parts.recursion_limit(), parts.implicit()[1]) < 1e-14
