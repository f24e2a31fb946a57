"""Images of few levels as real vectors without bounds, and log densities of these as bits of the images.

A level k of L becomes u = (k + U) / L with U uniform in [0, 1), and y = logit(e + (1 - 2 e) u). Without e > 0 the
outermost levels have logits without bound, whose scores rule every loss. The density of y is what a model is given;
that of u follows from dy/du, and no density of levels gives fewer bits than the mean of -log2 of it, less log2 L.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def logits(levels: Tensor, of: int, edge: float, generator: torch.Generator) -> Tensor:
    """y (B, d), float32, of levels (B, d...) in 0 .. of - 1, dequantised by draws of the generator.

    edge: e, in (0, 1/2). ValueError otherwise, or for levels that are no such numbers.
    """
    if not 0 < edge < 0.5:
        raise ValueError(f"edge: expected a number in (0, 0.5); found {edge}")
    whole = levels.round().long().flatten(1)
    if whole.min() < 0 or whole.max() >= of:
        raise ValueError(f"levels: expected 0 to {of - 1}; found {int(whole.min())} to {int(whole.max())}")
    u = (whole + torch.rand(whole.shape, generator=generator, dtype=torch.float64)) / of
    return (edge + (1 - 2 * edge) * u).logit().float()


def log_slope(y: Tensor, edge: float) -> Tensor:
    """log |dy/du| of rows y (B, d), summed over their entries, (B,)."""
    return (math.log(1 - 2 * edge) + F.softplus(y) + F.softplus(-y)).sum(1)


def bits_per_dimension(log_density: Tensor, y: Tensor, of: int, edge: float) -> Tensor:
    """Bits an entry that rows y (B, d) of such a log density, (B,), take at most: an upper bound in the mean."""
    d = y.shape[1]
    return -(log_density + log_slope(y, edge) - d * math.log(of)) / (d * math.log(2))
