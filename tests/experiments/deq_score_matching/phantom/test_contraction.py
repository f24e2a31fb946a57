"""Contraction of normalised layers, against dense matrices and known traces."""

import pytest
import torch
from torch.nn import functional as F

from deqbench.experiments.deq_score_matching.phantom.config import Contraction
from deqbench.experiments.deq_score_matching.phantom.contraction import largest_ratio, operator_norm, rows

SECTION = Contraction(
    layers={"dense": None, "conv-5x5": 5}, bounds=[1.05], draws=2, features=8, channels=3, side=8, max_iter=400
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def found():
    return {(row["dataset"], row["method"], row["seed"], row["metric"]): row["value"] for row in rows(SECTION, 5)}


def test_the_operator_norm_of_a_convolution_is_that_of_its_matrix():
    kernel = torch.randn(2, 2, 3, 3, generator=generator(), dtype=torch.float64)
    unit = torch.eye(2 * 5 * 5, dtype=torch.float64).view(-1, 2, 5, 5)
    matrix = F.conv2d(unit, kernel, padding=1).flatten(1).T
    norm, v = operator_norm(kernel, (2, 5, 5), generator())
    assert norm == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-4)
    assert (matrix @ v.flatten()).norm() == pytest.approx(norm, rel=1e-6)


def test_the_largest_ratio_of_a_geometric_trace_is_its_rate_and_rounding_is_not_looked_at():
    trace = 0.5 ** torch.arange(20, dtype=torch.float64)
    assert largest_ratio(trace) == pytest.approx(0.5)
    noisy = torch.cat([0.1 ** torch.arange(12, dtype=torch.float64), torch.tensor([5e-11], dtype=torch.float64)])
    assert largest_ratio(noisy) == pytest.approx(0.1)
    assert largest_ratio(torch.tensor([1.0, 2.0, torch.inf], dtype=torch.float64)) == 2


def test_a_dense_layer_of_small_norm_is_a_contraction(found):
    for method in ("random-frobenius", "constant-frobenius", "constant-operator"):
        assert found["dense", method, 0, "stretch"] < 1 and found["dense", method, 0, "residual_ratio"] < 1
        assert found["dense", method, 0, "converged"] == 1
    assert found["dense", "constant-frobenius", 0, "stretch"] == pytest.approx(1 / 1.05, rel=1e-3)  # it is of rank one


def test_a_kernel_of_equal_entries_stretches_and_its_iteration_diverges_unless_the_operator_is_normalised(found):
    assert found["conv-5x5", "constant-frobenius", 0, "frobenius"] < 1
    assert found["conv-5x5", "constant-frobenius", 0, "stretch"] > 2
    assert found["conv-5x5", "constant-frobenius", 0, "converged"] == 0
    assert found["conv-5x5", "constant-operator", 0, "stretch"] < 1
    assert found["conv-5x5", "constant-operator", 0, "converged"] == 1


def test_the_stretch_is_never_above_the_operator_norm(found):
    for (dataset, method, seed, metric), value in found.items():
        if metric == "stretch":
            assert value <= found[dataset, method, seed, "operator"] * (1 + 1e-9)
