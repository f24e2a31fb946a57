"""A small equilibrium layer with dense derivatives by hand, and losses that differentiate through it."""

import torch
from torch import Tensor, nn

from tests.problems import random

B, N, D = 4, 5, 3


class Cell(nn.Module):
    """z, x -> tanh(W z + U x), a contraction; float64."""

    def __init__(self, norm: float = 0.6, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        W = random(N, N, seed=1)
        self.W = nn.Parameter((norm * W / torch.linalg.matrix_norm(W, 2)).to(dtype))
        self.U = nn.Parameter(random(N, D, seed=2).to(dtype))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(z @ self.W.T + x @ self.U.T)

    def jacobians(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """df/dz (B, N, N) and df/dx (B, N, D) at a solution z (B, N), by hand."""
        slopes = (1 - z**2)[:, :, None]
        return slopes * self.W, slopes * self.U


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """z0 (B, N) and x (B, D), which wants a gradient; the samples need different numbers of rounds."""
    x = random(B, D, seed=3) * torch.tensor([0.0, 0.1, 1.0, 5.0])[:, None]
    return torch.zeros(B, N, dtype=dtype), x.to(dtype).requires_grad_()


def unrolled(cell: nn.Module, z0: Tensor, x: Tensor, rounds: int = 80) -> Tensor:
    """The state after so many plain rounds, with their graph."""
    z = z0
    for _ in range(rounds):
        z = cell(z, x)
    return z


def score_loss(z: Tensor, x: Tensor) -> Tensor:
    """A loss of z, x and the derivative of another loss in x: what score matching does, with terms beside."""
    energy = (z**3).sum() + (z * x.sum(1, keepdim=True).sin()).sum()
    (score,) = torch.autograd.grad(energy, x, create_graph=True)
    return (score**2).sum() + z.exp().sum() + (x**4).sum()


def apart(value: Tensor, exact: Tensor) -> float:
    """Relative distance."""
    return float((value - exact).detach().norm() / exact.detach().norm())
