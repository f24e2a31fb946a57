"""Levels as logits, and their densities."""

import math

import pytest
import torch

from deqbench.score_matching.logits import bits_per_dimension, log_slope, logits


def test_a_level_comes_back_from_its_logit():
    levels = torch.arange(17).repeat(5, 3)
    y = logits(levels, 17, 0.01, torch.Generator().manual_seed(1))
    u = (y.double().sigmoid() - 0.01) / 0.98
    assert torch.equal((17 * u).floor().long(), levels) and y.dtype == torch.float32
    assert (17 * u - levels).mean() == pytest.approx(0.5, abs=0.06)


def test_the_slope_is_the_derivative_of_the_map():
    u = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    y = (0.05 + 0.9 * u).logit()
    slope = torch.autograd.grad(y.sum(), u)[0]
    torch.testing.assert_close(log_slope(y, 0.05), slope.log().sum(1))


def test_uniform_levels_take_their_entropy():
    """Of u uniform in [0, 1] the density of y is one over dy/du: log2 of the number of levels an entry."""
    levels = torch.randint(8, (10, 6), generator=torch.Generator().manual_seed(3))
    y = logits(levels, 8, 0.02, torch.Generator().manual_seed(4))
    bits = bits_per_dimension(-log_slope(y, 0.02), y, 8, 0.02)
    torch.testing.assert_close(bits, torch.full((10,), math.log2(8)))


def test_the_same_generator_gives_the_same_logits():
    first, again, other = (logits(torch.ones(2, 1, 2, 2), 4, 0.1, torch.Generator().manual_seed(k)) for k in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.shape == (2, 4)


@pytest.mark.parametrize(
    ("levels", "edge", "words"),
    [
        ([[0.0, 4.0]], 0.1, "levels: expected 0 to 3; found 0 to 4"),
        ([[-1.0, 3.0]], 0.1, "levels: expected 0 to 3; found -1 to 3"),
        ([[0.0]], 0.0, "edge: expected a number in \\(0, 0.5\\); found 0.0"),
        ([[0.0]], 0.5, "edge: expected a number in \\(0, 0.5\\); found 0.5"),
    ],
)
def test_other_levels_and_edges_are_refused(levels, edge, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        logits(torch.tensor(levels), 4, edge, torch.Generator())
