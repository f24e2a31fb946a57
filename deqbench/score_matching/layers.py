"""Cells of equilibrium layers, whose weights are normalised so that the map is a contraction, or should be.

Source: DEQ score matching, eq. 5 and section 3.2.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.solvers.blocks import Convolution, Dense

Normalisation = Literal["frobenius", "operator", "none"]
EPS = 1e-6
FREQUENCIES = 16  # of a side, at which the norm of a convolution is taken


class DenseCell(nn.Module):
    """z -> softplus(W z + g), (B, n); with groups one W each, and states (G, B, n).

    normalisation: frobenius, W / (bound (||W||_F + eps)), as printed; operator, the largest singular value in place of
    the Frobenius norm, which uses all that a contraction allows; none. bound: lambda, above 1. ValueError otherwise.
    """

    def __init__(
        self, features: int, normalisation: Normalisation = "frobenius", bound: float = 1.05, groups: int | None = None
    ) -> None:
        super().__init__()
        _check(normalisation, bound)
        self.normalisation, self.bound = normalisation, bound
        self.weight = nn.Parameter(torch.empty(*([groups] if groups else []), features, features))
        nn.init.kaiming_uniform_(self.weight.view(-1, features), a=math.sqrt(5))

    def matrix(self) -> Tensor:
        """W normalised, (n, n) or (G, n, n)."""
        if self.normalisation == "none":
            return self.weight
        order: Any = "fro" if self.normalisation == "frobenius" else 2
        norm = torch.linalg.matrix_norm(self.weight, order, keepdim=True)
        return self.weight / (self.bound * (norm + EPS))

    def prepared(self) -> Dense:
        """The map (z, g) -> softplus(W z + g), with W normalised once."""
        return Dense(self.matrix())

    def forward(self, z: Tensor, g: Tensor) -> Tensor:
        """The next state."""
        return self.prepared()(z, g)


class ConvCell(nn.Module):
    """z -> softplus(W * z + g), (B, C, H, W), W a kernel with zeros around the image; kernel_size odd.

    normalisation: frobenius, by the norm of the kernel, as printed, which bounds the operator's only up to a factor of
    kernel_size; operator, by `convolution_norm`, a true bound; none. ValueError: bound not above 1, an even kernel.
    """

    def __init__(
        self, channels: int, kernel_size: int = 5, normalisation: Normalisation = "frobenius", bound: float = 1.05
    ) -> None:
        super().__init__()
        _check(normalisation, bound)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number; found {kernel_size}")
        self.normalisation, self.bound = normalisation, bound
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel_size, kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def matrix(self) -> Tensor:
        """The kernel normalised, (C, C, k, k)."""
        return normalised_kernel(self.weight, self.normalisation, self.bound)

    def prepared(self) -> Convolution:
        """The map (z, g) -> softplus(W * z + g), with W normalised once."""
        return Convolution(self.matrix())

    def forward(self, z: Tensor, g: Tensor) -> Tensor:
        """The next state."""
        return self.prepared()(z, g)


class ResidualCell(nn.Module):
    """z -> h(z) + g, (B, C, H, W), h two convolutions with softplus before each, both normalised as in ConvCell.

    The bound of h is the product of theirs, below 1 with `operator`. Source: table 9 and appendix D.4.
    """

    def __init__(
        self, channels: int, kernel_size: int = 3, normalisation: Normalisation = "frobenius", bound: float = 1.05
    ) -> None:
        super().__init__()
        self.first = ConvCell(channels, kernel_size, normalisation, bound)
        self.second = ConvCell(channels, kernel_size, normalisation, bound)

    def prepared(self) -> "Residual":
        """The map (z, g) -> h(z) + g, with both kernels normalised once."""
        return Residual(self.first.matrix(), self.second.matrix())

    def forward(self, z: Tensor, g: Tensor) -> Tensor:
        """The next state."""
        return self.prepared()(z, g)


class Residual:
    """(z, g) -> h(z) + g with kernels given."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.kernels = (first, second)

    def __call__(self, z: Any, g: Any) -> Any:
        """The next state of z; either may be a jet."""
        h = z
        for kernel in self.kernels:
            h = F.conv2d(F.softplus(h), kernel, None, 1, kernel.shape[-1] // 2)
        return h + g


def normalised_kernel(kernel: Tensor, normalisation: Normalisation, bound: float) -> Tensor:
    """A kernel (C', C, k, k) over bound times the norm that `normalisation` names."""
    if normalisation == "none":
        return kernel
    norm = kernel.norm() if normalisation == "frobenius" else convolution_norm(kernel)
    return kernel / (bound * (norm + EPS))


def convolution_norm(kernel: Tensor) -> Tensor:
    """An upper bound of the 2-norm of the convolution by a kernel (C', C, k, k), zeros around images of any size.

    The convolution on a finite image is a part of that on the infinite grid, whose norm is the largest singular value
    of the kernel's Fourier transform over all frequencies. That is a trigonometric polynomial of degree m = (k - 1) / 2
    in each of them, so its largest value on a grid of N points, divided by cos(pi m / N) for each axis, bounds it.
    Never below the true norm, and above it by cos^-2 at most. The gradient is that of the largest one.

    Source: Ehlich and Zeller, "Schwankung von Polynomen zwischen Gitterpunkten" (1964).
    """
    side = max(FREQUENCIES, 2 * kernel.shape[-1])
    transform = torch.fft.fft2(kernel, s=(side, side)).permute(2, 3, 0, 1)  # (N, N, C', C)
    half = transform[:, : side // 2 + 1].flatten(0, 1)
    with torch.no_grad():
        worst = int(torch.linalg.matrix_norm(half, 2).argmax())
        u, _, vh = torch.linalg.svd(half[worst], full_matrices=False)
    largest = torch.real(u[:, 0].conj() @ half[worst] @ vh[0].conj())
    degree = kernel.shape[-1] // 2
    return largest / math.cos(math.pi * degree / side) ** 2


def _check(normalisation: str, bound: float) -> None:
    if normalisation not in ("frobenius", "operator", "none"):
        raise ValueError(f"normalisation: expected one of frobenius, operator, none; found '{normalisation}'")
    if normalisation != "none" and not bound > 1:
        raise ValueError(f"bound: expected a number above 1; found {bound}")
