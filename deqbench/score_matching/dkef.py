"""Deep kernel exponential families: log p~(x) = sum_k alpha_k k(x, z_k) + log q0(x), features by perceptrons or a DEQ.

Source: DEQ score matching, section 4.2 and appendix D.1. Three readings are ours, for the paper leaves them open. Its
"latent dimension" 64 or 200 is taken for the number of inducing points z_k, although the sum of appendix D.1 ends at 3.
The extractors end in a linear layer, as those of the sliced-score-matching paper that the text refers to; the linear
map of x that is added there (`skip`) is not mentioned in the text. q0 = N(0, s^2 I) is fixed, s = 2 as there.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.score_matching.kernels import gaussian_kernels, kernels_by_point, squared_norm
from deqbench.score_matching.layers import DenseCell, Normalisation
from deqbench.solvers.deq import DEQ

FIRST_SIGMA_SQUARED = (1.0, 3.3, 10.0)  # of the three kernels at the start


def _uniform(shape: tuple[int, ...], reach: float, generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(reach * (2 * torch.rand(shape, generator=generator) - 1))


class Linears(nn.Module):
    """(1 or R, B, n) -> (R, B, m): R linear maps at once, each with a bias if asked.

    All is drawn uniformly from +- 1 / sqrt(n), as torch's own layers are.
    """

    def __init__(self, copies: int, n: int, m: int, *, bias: bool = True, generator: torch.Generator | None) -> None:
        super().__init__()
        self.weight = _uniform((copies, n, m), 1 / math.sqrt(n), generator)
        self.bias = _uniform((copies, 1, m), 1 / math.sqrt(n), generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.matmul(x, self.weight)
        return y if self.bias is None else y + self.bias


class Perceptrons(nn.Module):
    """x (B, d) -> (R, B, width): R perceptrons of so many layers, softplus between them; skip: plus a map of x."""

    def __init__(
        self,
        dimensions: int,
        width: int,
        layers: int,
        *,
        copies: int = 3,
        skip: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [dimensions, *[width] * (layers - 1)]
        self.layers = nn.ModuleList(Linears(copies, n, width, generator=generator) for n in sizes)
        self.skip = Linears(copies, dimensions, width, bias=False, generator=generator) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.unsqueeze(x, 0)  # (1, B, d)
        y = self.layers[0](rows)
        for layer in self.layers[1:]:
            y = layer(F.softplus(y))
        return y if self.skip is None else y + self.skip(rows)


class Equilibria(nn.Module):
    """x (B, d) -> (R, B, width): R blocks z = softplus(W z + softplus(V x + b)), read out linearly; skip: plus a map.

    normalisation, bound: of W, see DenseCell; solving: settings of deqbench.fixed_point.
    """

    def __init__(
        self,
        dimensions: int,
        width: int,
        *,
        copies: int = 3,
        skip: bool = False,
        normalisation: Normalisation = "frobenius",
        bound: float = 1.05,
        generator: torch.Generator | None = None,
        **solving: Any,
    ) -> None:
        super().__init__()
        self.inject = Linears(copies, dimensions, width, generator=generator)
        self.block = DEQ(DenseCell(width, groups=copies, normalisation=normalisation, bound=bound), **solving)
        if generator is not None:
            _redraw(self.block, width, generator)
        self.readout = Linears(copies, width, width, generator=generator)
        self.skip = Linears(copies, dimensions, width, bias=False, generator=generator) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.unsqueeze(x, 0)  # (1, B, d)
        z = self.block(F.softplus(self.inject(rows)))  # (R, B, width)
        y = self.readout(z)
        return y if self.skip is None else y + self.skip(rows)


@torch.no_grad()
def _redraw(block: nn.Module, width: int, generator: torch.Generator) -> None:
    """The block's matrices drawn from a generator of ours; normalised, their scale does not matter."""
    for parameter in block.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(width))


class DKEF(nn.Module):
    """x (B, d) -> log p~(x) (B,), not normalised; log q0 is.

    extractor: (B, d) -> (R, B, h). points: (M, d) where the inducing points start, such as training rows; they are
    trained, as are alpha (M,), the kernels' shares rho (a softmax) and widths sigma. base_scale: s of q0 = N(0, s^2 I).
    """

    def __init__(self, extractor: nn.Module, points: Tensor, *, copies: int = 3, base_scale: float = 2.0) -> None:
        super().__init__()
        self.extractor, self.base_scale = extractor, base_scale
        self.points = nn.Parameter(points.detach().clone())
        self.alpha = nn.Parameter(torch.full((len(points),), 1 / len(points)).to(points))
        self.logits = nn.Parameter(torch.zeros(copies).to(points))
        squared = torch.tensor([FIRST_SIGMA_SQUARED[r % len(FIRST_SIGMA_SQUARED)] for r in range(copies)])
        self.log_sigma = nn.Parameter(squared.log().to(points) / 2)

    def forward(self, x: Tensor) -> Tensor:
        centres = self.extractor(self.points)  # first, so that a DEQ's `last` is of the rows
        features = self.extractor(x)
        return self.of_features(features, centres, x)

    def of_features(self, features: Tensor, centres: Tensor, x: Tensor) -> Tensor:
        """log p~ of rows x (B, d), (B,), whose features (R, B, h) and whose points' features (R, M, h) are known."""
        kernels = gaussian_kernels(features, centres, self.alpha, self.logits.softmax(0), self.log_sigma.exp())
        return kernels + self.log_base(x)

    def by_point(self, x: Any) -> Any:
        """k(x, z_k) of all inducing points, (B, M): what alpha weighs. x may be a jet."""
        centres = self.extractor(self.points)
        return kernels_by_point(self.extractor(x), centres, self.logits.softmax(0), self.log_sigma.exp())

    def log_base(self, x: Any) -> Any:
        """log q0(x), (B,). x may be a jet."""
        scaled = squared_norm(x) * (-0.5 / self.base_scale**2)
        return scaled - x.shape[-1] * (math.log(self.base_scale) + math.log(2 * math.pi) / 2)

    @property
    def block(self) -> DEQ | None:
        """The equilibrium layer inside; None in a perceptron."""
        return next((module for module in self.modules() if isinstance(module, DEQ)), None)
