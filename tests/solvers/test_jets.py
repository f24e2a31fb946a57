"""Jets against nested autograd, in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.solvers.jets import Jet, start


def dense(dims: tuple[int, ...]) -> nn.Module:
    d = int(torch.tensor(dims).prod())
    return nn.Sequential(nn.Flatten(), nn.Linear(d, 3), nn.Softplus(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


class Mixed(nn.Module):
    """Products, quotients, powers, slices and sums of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.sigmoid(self.left(x)), F.softplus(self.right(x))
        c = torch.cat([a * b, (a / (1 + b.square()))[:, :2]], dim=1)
        first, second = c.chunk(2, dim=1)
        return (torch.exp(-first) - 2 * torch.log(1 + second**2) + F.silu(first - 1)).sum(-1) + x.square().mean(1)


class Convolved(nn.Module):
    """Convolutions down and up, with biases."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(2, 3, 3, 2, 1), nn.ConvTranspose2d(3, 2, 3, 2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.elu(self.up(F.softplus(self.down(x))) + 0.1 * x)
        return F.avg_pool2d(F.logsigmoid(h), 2).flatten(1).sum(1)


class Grouped(nn.Module):
    """Three networks at once, whose first layers are narrower than x."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(3, 6, 2)), nn.Parameter(torch.randn(3, 2, 5))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(torch.matmul(x, self.first))
        return F.softplus(torch.matmul(h, self.second)).square().sum(-1).sum(0)


CASES = {
    "dense": (lambda: dense((6,)), (6,)),
    "mixed": (Mixed, (6,)),
    "convolved": (Convolved, (2, 4, 4)),
    "grouped": (Grouped, (6,)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, dims = CASES[request.param]
    return make().double(), torch.randn(5, *dims, dtype=torch.float64)


def hessians(f: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (B, d) and Hessians (B, d, d)."""
    one = lambda row: f(row[None]).sum()  # noqa: E731
    d = x[0].numel()
    gradients = torch.stack([torch.func.grad(one)(row).flatten() for row in x])
    return gradients, torch.stack([torch.func.hessian(one)(row).reshape(d, d) for row in x])


def test_the_jet_of_all_unit_directions_holds_gradient_and_laplacian(case: tuple[nn.Module, Tensor]) -> None:
    f, x = case
    jet = f(start(x))
    gradients, curvature = hessians(f, x)
    torch.testing.assert_close(jet.value.flatten(), f(x).flatten())
    torch.testing.assert_close(jet.gradient().flatten(1), gradients)
    torch.testing.assert_close(jet.laplacian.flatten(), curvature.diagonal(dim1=1, dim2=2).sum(1))


def test_the_jet_along_directions_holds_their_first_derivatives_and_the_sum_of_their_second_ones(
    case: tuple[nn.Module, Tensor],
) -> None:
    f, x = case
    v = torch.randn(2, *x.shape, dtype=x.dtype)
    jet = f(start(x, v))
    gradients, curvature = hessians(f, x)
    flat = v.flatten(2)
    torch.testing.assert_close(jet.started().whole().flatten(1), torch.einsum("mbd,bd->mb", flat, gradients))
    torch.testing.assert_close(jet.laplacian.flatten(), torch.einsum("mbd,bde,mbe->b", flat, curvature, flat))


def test_the_parameters_gradient_of_a_jet_is_that_of_nested_autograd(case: tuple[nn.Module, Tensor]) -> None:
    f, x = case
    jet = f(start(x))
    wanted = torch.func.grad(
        lambda p: sum(
            g.square().sum() + h.diagonal().sum()
            for row in x
            for g, h in [
                (
                    torch.func.grad(lambda r: torch.func.functional_call(f, p, r[None]).sum())(row),
                    torch.func.hessian(lambda r: torch.func.functional_call(f, p, r.view_as(x[0])[None]).sum())(
                        row.flatten()
                    ),
                )
            ]
        )
    )(dict(f.named_parameters()))
    (jet.gradient().square().sum() + jet.laplacian.sum()).backward()
    for name, p in f.named_parameters():
        if p.grad is None:
            assert not wanted[name].any()
        else:
            torch.testing.assert_close(p.grad, wanted[name])


def test_a_narrow_first_layer_leaves_as_many_directions_as_it_is_wide() -> None:
    f, x = dense((6,)).double(), torch.randn(5, 6, dtype=torch.float64)
    assert f(start(x)).tangents.shape[0] == 3
    assert f(start(x, torch.randn(4, 5, 6, dtype=torch.float64))).tangents.shape[0] == 4


def test_a_function_without_a_rule_is_named() -> None:
    with pytest.raises(TypeError, match=r"jets: expected a function among .*; found cumsum"):
        torch.cumsum(start(torch.zeros(2, 3)), 0)


def test_a_constant_has_no_derivatives() -> None:
    made = torch.exp(Jet(torch.ones(2)) + 1) * 2
    assert made.tangents is None and made.laplacian is None
