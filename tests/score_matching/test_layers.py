"""Cells against dense matrices of their maps, in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from deqbench.score_matching.layers import ConvCell, DenseCell, ResidualCell, convolution_norm


def operator(kernel: Tensor, side: int) -> Tensor:
    """The matrix of a convolution with zeros around images of that side."""
    unit = torch.eye(kernel.shape[1] * side**2, dtype=kernel.dtype).view(-1, kernel.shape[1], side, side)
    return F.conv2d(unit, kernel, padding=kernel.shape[-1] // 2).flatten(1).T


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("constant", [True, False])
def test_the_norm_of_a_convolution_is_bounded_and_not_by_much(size: int, constant: bool) -> None:
    torch.manual_seed(size)
    kernel = torch.randn(3, 2, size, size, dtype=torch.float64)
    kernel = torch.full_like(kernel, 0.3) if constant else kernel
    bound = float(convolution_norm(kernel))
    exact = [float(torch.linalg.matrix_norm(operator(kernel, side), 2)) for side in (5, 9, 14)]
    assert exact[0] <= exact[1] + 1e-9 <= exact[2] + 2e-9
    assert exact[-1] <= bound
    grid = math.cos(math.pi * (size // 2) / 16) ** 2
    assert bound * grid <= exact[-1] * 1.25  # images so small reach most of the norm on the infinite grid


def test_the_frobenius_norm_of_a_kernel_bounds_its_operator_only_up_to_its_size() -> None:
    kernel = torch.ones(1, 1, 5, 5, dtype=torch.float64)
    cell = ConvCell(1, 5, "frobenius", 1.05).double()
    with torch.no_grad():
        cell.weight.copy_(kernel)
        norm = float(torch.linalg.matrix_norm(operator(cell.matrix(), 14), 2))
    assert 4 < norm < 5 / 1.05
    cell.normalisation = "operator"
    with torch.no_grad():
        assert 0.7 < float(torch.linalg.matrix_norm(operator(cell.matrix(), 14), 2)) < 1 / 1.05


@pytest.mark.parametrize("normalisation", ["frobenius", "operator"])
def test_a_normalised_matrix_has_the_norm_that_is_named(normalisation: str) -> None:
    torch.manual_seed(0)
    for groups in (None, 3):
        matrix = DenseCell(5, normalisation, 1.5, groups).double().matrix()
        order = "fro" if normalisation == "frobenius" else 2
        norms = torch.linalg.matrix_norm(matrix, order)
        torch.testing.assert_close(norms, torch.full_like(norms, 1 / 1.5), rtol=1e-4, atol=0)


@pytest.mark.parametrize("cell", [ConvCell(2, 3, "operator"), ResidualCell(2, 3, "operator")])
def test_a_cell_of_bounded_kernels_is_a_contraction(cell: torch.nn.Module) -> None:
    cell = cell.double()
    drawn = torch.Generator().manual_seed(0)
    a, b, g = (torch.randn(6, 2, 7, 7, generator=drawn, dtype=torch.float64) for _ in range(3))
    apart = [(cell(10 * a, g) - cell(10 * b, g)).norm(), (10 * a - 10 * b).norm()]
    assert apart[0] < apart[1] / 1.05


def test_the_gradient_of_the_bound_is_that_of_finite_differences() -> None:
    kernel = torch.randn(
        2, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True
    )
    assert torch.autograd.gradcheck(convolution_norm, (kernel,))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: DenseCell(3, "spectral"),
            "normalisation: expected one of frobenius, operator, none; found 'spectral'",
        ),
        (lambda: DenseCell(3, bound=1.0), "bound: expected a number above 1; found 1.0"),
        (lambda: ConvCell(3, 4), "kernel_size: expected an odd number; found 4"),
    ],
)
def test_wrong_settings_are_told_in_a_sentence(make: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
