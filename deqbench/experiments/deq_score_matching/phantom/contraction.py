"""Whether a weight of Frobenius norm below 1 makes the layer a contraction: of a dense layer, and of convolutions.

The norm of a kernel is not that of its convolution: the same k x k numbers act at every place of the image, and bound
the operator's norm only up to a factor k. Source: DEQ score matching, section 3.2.
"""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from deqbench.experiments.deq_score_matching.phantom.config import Contraction
from deqbench.experiments.rows import Row
from deqbench.score_matching.layers import ConvCell, DenseCell
from deqbench.solvers import solve

Linear = Callable[[Tensor], Tensor]
OPEN = 30.0  # an inner value at which softplus has slope 1
SAMPLES = 2  # of one solve, and pairs that are drawn
POWER = 60  # rounds of the power iteration
FLOOR = 1e-9  # residuals below it, relative to the first, may be rounding


def rows(section: Contraction, seed: int) -> Iterator[Row]:
    """Rows by layer, weights, normalisation, bound and draw."""
    settings = product(section.layers.items(), section.weights, section.normalisations, section.bounds)
    for (name, kernel), weights, normalisation, bound in settings:
        for draw in range(section.draws):
            generator = torch.Generator().manual_seed(1000 * seed + draw)
            shape = (section.features,) if kernel is None else (section.channels, section.side, section.side)
            cell = _cell(shape, kernel, normalisation, bound)
            _draw(cell, weights, generator)
            method = f"{weights}-{normalisation}"
            keys = {"dataset": name, "method": method, "bound": bound, "seed": draw, "unit": ""}
            by_metric = measured(cell, shape, section, generator)
            yield from ({**keys, "metric": metric, "value": value} for metric, value in by_metric.items())


def _cell(shape: tuple[int, ...], kernel: int | None, normalisation: str, bound: float) -> DenseCell | ConvCell:
    if kernel is None:
        return DenseCell(shape[0], normalisation, bound).double()  # type: ignore[arg-type]
    return ConvCell(shape[0], kernel, normalisation, bound).double()  # type: ignore[arg-type]


@torch.no_grad()
def _draw(cell: DenseCell | ConvCell, weights: str, generator: torch.Generator) -> None:
    """Fills the weight with ones, or with normal numbers."""
    drawn = torch.randn(cell.weight.shape, generator=generator, dtype=torch.float64)
    cell.weight.copy_(torch.ones_like(drawn) if weights == "constant" else drawn)


@torch.no_grad()
def measured(
    cell: DenseCell | ConvCell, shape: tuple[int, ...], section: Contraction, generator: torch.Generator
) -> dict[str, float]:
    """Of one layer: norms of its weight, how far it stretches a pair of states, and the course of Picard's iteration.

    stretch: the largest ||f(a) - f(b)|| / ||a - b|| over drawn pairs, and a pair apart along the first singular vector
    where softplus is open. residual_ratio: the largest ratio of a residual to the one before. converged: the share of
    samples within the rounds allowed. iterations: their mean, all rounds of a sample that did not converge.
    """
    weight, f = cell.matrix(), cell.prepared()
    norm, v = operator_norm(weight, shape, generator)
    a, b, g = torch.randn(3, SAMPLES, *shape, generator=generator, dtype=torch.float64)
    opened = torch.full_like(v, OPEN)
    pairs = [(f(a, g) - f(b, g), a - b), (f(v, opened) - f(torch.zeros_like(v), opened), v)]
    ratios = [(moved.flatten(1).norm(dim=1) / step.flatten(1).norm(dim=1)).max() for moved, step in pairs]
    solved = solve(lambda z: f(z, g), torch.zeros_like(g), tol=section.tol, max_iter=section.max_iter)
    return {
        "frobenius": float(weight.norm()),
        "operator": norm,
        "stretch": float(max(ratios)),
        "residual_ratio": max(map(largest_ratio, solved.absolute)),
        "converged": float(solved.converged.double().mean()),
        "iterations": float(solved.rounds.double().mean()),
    }


def operator_norm(weight: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> tuple[float, Tensor]:
    """The 2-norm of a layer's linear map on states of a shape, and its first right singular vector (1, *shape)."""
    times, transposed = _linear(weight)
    v = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    for _ in range(POWER):
        v = transposed(times(v))
        v = v / v.norm()
    return float(times(v).norm()), v


def _linear(weight: Tensor) -> tuple[Linear, Linear]:
    if weight.ndim == 2:
        return (lambda z: z @ weight.T), (lambda z: z @ weight)
    padding = weight.shape[-1] // 2
    return (
        lambda z: F.conv2d(z, weight, padding=padding),
        lambda z: F.conv_transpose2d(z, weight, padding=padding),
    )


def largest_ratio(residuals: Tensor) -> float:
    """The largest ratio of a residual to the one before, of a trace (K,), down to where rounding begins."""
    finite = residuals[residuals.isfinite()]
    seen = finite[: 1 + int((finite > FLOOR * finite[0]).sum())] if len(finite) else finite
    return float((seen[1:] / seen[:-1]).max()) if len(seen) > 1 else 0.0
