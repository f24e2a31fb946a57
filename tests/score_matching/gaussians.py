"""Log densities whose score-matching losses have closed forms."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.score_matching.layers import DenseCell
from deqbench.solvers.deq import DEQ


class Gaussian(nn.Module):
    """-1/2 (x - m)' P (x - m), P = A A' + I; not normalised."""

    def __init__(self, dimensions: int, generator: torch.Generator) -> None:
        super().__init__()
        draw = {"generator": generator, "dtype": torch.float64}
        self.root = nn.Parameter(torch.randn(dimensions, dimensions, **draw) / 2)
        self.mean = nn.Parameter(torch.randn(dimensions, **draw))

    def precision(self) -> Tensor:
        return self.root @ self.root.T + torch.eye(len(self.mean), dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        off = x - self.mean
        return -0.5 * (off * torch.matmul(off, self.precision())).sum(-1)

    def losses(self, x: Tensor) -> Tensor:
        """1/2 |P (x - m)|^2 - tr P, (B,)."""
        return (x - self.mean).matmul(self.precision()).square().sum(1) / 2 - self.precision().diagonal().sum()


class Energy(nn.Module):
    """A small log density with an equilibrium inside, less |x|^2 / 2."""

    def __init__(self, dimensions: int, **settings: object) -> None:
        super().__init__()
        self.inject, self.readout = nn.Linear(dimensions, 5), nn.Linear(5, 4)
        self.deq = DEQ(DenseCell(5), solver="picard", adjoint="dense", **settings)

    def forward(self, x: Tensor) -> Tensor:
        z = self.deq(F.softplus(self.inject(x)))
        return torch.tanh(self.readout(z)).sum(-1) - 0.5 * x.square().sum(-1)
