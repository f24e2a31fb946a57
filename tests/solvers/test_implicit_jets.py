"""Jets of fixed points against nested autograd through many steps, in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.score_matching.layers import ConvCell, DenseCell, ResidualCell
from deqbench.solvers.deq import DEQ, differentiated
from deqbench.solvers.jets import start

EXACT = {"derivative": "exact", "order": 1, "tol": 1e-13, "max_iter": 500, "adjoint_tol": 1e-13}


class Density(nn.Module):
    """A scalar of an equilibrium of an affine input."""

    def __init__(self, cell: nn.Module, inject: nn.Module, **settings: object) -> None:
        super().__init__()
        self.inject, self.deq = inject, DEQ(cell, solver="picard", **settings)

    def forward(self, x: Tensor) -> Tensor:
        z = self.deq(F.softplus(self.inject(x)))
        return (torch.tanh(z).square() + z).flatten(1).sum(1) if z.ndim != 3 else torch.tanh(z).sum(-1).sum(0)


class Stacked(nn.Module):
    """x (B, d) to inputs of three groups (3, B, n)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight)


CASES = {
    "dense": (lambda: (DenseCell(7), nn.Linear(6, 7)), (6,)),
    "narrow": (lambda: (DenseCell(4, "operator"), nn.Linear(6, 4)), (6,)),
    "groups": (lambda: (DenseCell(4, groups=3), Stacked()), (6,)),
    "convolution": (lambda: (ConvCell(2, 3, "operator"), nn.Conv2d(1, 2, 3, padding=1)), (1, 3, 3)),
    "residual": (lambda: (ResidualCell(2, 3, "operator"), nn.Conv2d(1, 2, 3, padding=1)), (1, 3, 3)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Density, Tensor]:
    torch.manual_seed(0)
    make, dims = CASES[request.param]
    return Density(*make(), **EXACT).double(), torch.randn(3, *dims, dtype=torch.float64)


def loss(f: nn.Module, x: Tensor) -> Tensor:
    """The exact score-matching loss by nested autograd."""
    at = x.clone().requires_grad_()
    s = torch.autograd.grad(f(at).sum(), at, create_graph=True)[0].flatten(1)
    rows = [torch.autograd.grad(s[:, i].sum(), at, create_graph=True)[0].flatten(1)[:, i] for i in range(s.shape[1])]
    return s.square().sum(1) / 2 + sum(rows)


def gradients(value: Tensor, f: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(value.sum(), list(f.parameters())))


def test_loss_and_parameters_gradient_are_those_of_sixty_unrolled_steps(case: tuple[Density, Tensor]) -> None:
    f, x = case
    with differentiated(f, derivative="unrolled", tol=0.0, max_iter=60):
        wanted = loss(f, x)
        wanted_gradients = gradients(wanted, f)
    jet = f(start(x))
    made = jet.gradient().flatten(1).square().sum(1) / 2 + jet.laplacian
    torch.testing.assert_close(made, wanted, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(gradients(made, f), wanted_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("derivative", ["phantom", "unrolled"])
def test_phantom_and_unrolled_jets_are_those_of_nested_autograd(case: tuple[Density, Tensor], derivative: str) -> None:
    f, x = case
    with differentiated(f, derivative=derivative, steps=2, max_iter=500 if derivative == "phantom" else 12, tol=1e-13):
        wanted, jet = loss(f, x), f(start(x))
        made = jet.gradient().flatten(1).square().sum(1) / 2 + jet.laplacian
        torch.testing.assert_close(made, wanted, rtol=1e-9, atol=1e-9)
        for mine, theirs in zip(gradients(made, f), gradients(wanted, f), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7)


def test_plain_inputs_take_the_blocks_rule_where_one_derivative_is_enough(case: tuple[Density, Tensor]) -> None:
    f, x = case
    mine = gradients(f(x), f)
    with differentiated(f, derivative="unrolled", tol=0.0, max_iter=100):
        for made, wanted in zip(mine, gradients(f(x), f), strict=True):
            torch.testing.assert_close(made, wanted, rtol=1e-9, atol=1e-9)


def test_a_newton_step_squares_the_error_of_a_loosely_solved_block() -> None:
    torch.manual_seed(0)
    f, x = Density(DenseCell(7), nn.Linear(6, 7), **EXACT).double(), torch.randn(3, 6, dtype=torch.float64)
    exact = f(start(x)).value
    with differentiated(f, tol=1e-4):
        assert float((f(start(x)).value - exact).abs().max()) < 1e-7
        with torch.no_grad():
            assert float((f(x) - exact).abs().max()) > 1e-7
