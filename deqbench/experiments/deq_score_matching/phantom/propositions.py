"""Propositions 1 and 2 on small dense blocks: derivatives by formula, by autograd and by differences, and their rates.

Source: DEQ score matching, eqs. 8 to 10, appendix A.1.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from deqbench.experiments.deq_score_matching.phantom.blocks import (
    Block,
    Parts,
    apart,
    by_autograd,
    by_differences,
)
from deqbench.experiments.deq_score_matching.phantom.config import Matrix, Propositions
from deqbench.experiments.rows import Row
from deqbench.score_matching.layers import EPS

FLOOR = 1e-12  # relative errors below it are rounding
DESCRIBED = 32  # K up to which the recursions of the proof are compared; they hardly change any more


def drawn(matrix: Matrix, section: Propositions, seed: int) -> tuple[Block, Tensor]:
    """A block with a weight of that form, W / (bound (||W||_F + eps)), and one x (d,), all float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n, d = section.features, section.inputs
    u = normal(n).abs()
    W = normal(n, n) if matrix.form == "random" else u[:, None] * u
    W = W / (matrix.bound * (W.norm() + EPS))
    return Block(W, normal(n, d), normal(n) + matrix.shift), normal(d)


def rows(section: Propositions, seed: int) -> Iterator[Row]:
    """Rows of both propositions on every matrix and draw; those of Proposition 2 have a K."""
    for name, matrix in section.matrices.items():
        for draw in range(section.draws):
            block, x = drawn(matrix, section, 1000 * seed + draw)
            keys = {"dataset": name, "seed": draw, "unit": ""}
            parts = block.parts(x)
            yield {**keys, "method": "block", "metric": "radius", "value": parts.radius}
            for row in (*first_proposition(block, x, parts), *second_proposition(block, x, parts, section.steps)):
                yield {**keys, **row}


def first_proposition(block: Block, x: Tensor, parts: Parts) -> Iterator[Row]:
    """Errors of eqs. 8 and 9, of autograd through the fixed point, and of the limit that the proof ends with."""
    formula, differences = parts.implicit(), by_differences(block, x)
    exact = by_autograd(block, x, derivative="exact", adjoint="dense")
    made = {
        "equation-8": (formula[0], 0),
        "equation-9": (formula[1], 1),
        "autograd-first": (exact[0], 0),
        "autograd-second": (exact[1], 1),
        "recursion-limit": (parts.recursion_limit(), 1),
    }
    for method, (derivative, order) in made.items():
        yield {"method": method, "metric": "to_differences", "value": apart(derivative, differences[order])}
        if not method.startswith("equation"):
            yield {"method": method, "metric": "to_formula", "value": apart(derivative, formula[order])}


def second_proposition(block: Block, x: Tensor, parts: Parts, steps: list[int]) -> Iterator[Row]:
    """By K: how well eq. 10 and three readings of the proof's recursion describe the phantom derivatives, and how far
    these are from the true ones, over what rho^K and K rho^K promise."""
    exact, errors = parts.implicit(), dict[int, tuple[float, float]]()
    for K in steps:
        first, second = by_autograd(block, x, derivative="phantom", steps=K)
        errors[K] = apart(first, exact[0]), apart(second, exact[1])
        described = {"phantom": {"neumann": apart(parts.series(K) @ parts.f_x, first)}}
        if K <= DESCRIBED:
            described |= {
                "recursion-printed": {"described": apart(parts.recursion(K, first=1.0), second)},
                "recursion-zero": {"described": apart(parts.recursion(K, first=0.0), second)},
                "recursion-ordered": {"described": apart(parts.ordered(K), second)},
            }
        promised = {"first": parts.radius**K, "second": K * parts.radius**K}
        for name, error in zip(promised, errors[K], strict=True):
            described["phantom"][f"{name}_error"] = error
            if error > FLOOR:
                described["phantom"][f"{name}_over_rate"] = error / promised[name]
        for method, by_metric in described.items():
            yield from ({"method": method, "K": K, "metric": m, "value": v} for m, v in by_metric.items())
    yield from growths(errors)


def growths(errors: dict[int, tuple[float, float]]) -> Iterator[Row]:
    """Errors over those of the K before, what is below rounding counted as that; at most 1 where they do not grow."""
    for before, K in pairwise(errors):
        for name, old, new in zip(("first", "second"), errors[before], errors[K], strict=True):
            value = max(new, FLOOR) / max(old, FLOOR)
            yield {"method": "phantom", "K": K, "metric": f"{name}_growth", "value": value}
