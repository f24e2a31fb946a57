"""Rows of the propositions: errors fall at the rate of the spectral radius, growth is told against rounding."""

import pytest

from deqbench.experiments.deq_score_matching.phantom.config import Matrix, Propositions
from deqbench.experiments.deq_score_matching.phantom.propositions import FLOOR, drawn, growths, rows

SECTION = Propositions(
    features=6,
    inputs=2,
    draws=2,
    steps=[1, 2, 4, 8, 16, 32],
    matrices={"random": Matrix(bound=2), "open": Matrix(form="rank-one")},
)


@pytest.fixture(scope="module")
def found():
    return list(rows(SECTION, seed=3))


def values(found, metric: str, **keys) -> list[float]:
    kept = [row for row in found if row["metric"] == metric and all(row.get(k) == v for k, v in keys.items())]
    return [row["value"] for row in kept]


def test_weights_are_normalised_as_printed():
    block, x = drawn(Matrix(bound=1.5), SECTION, 0)
    norm = float(block.W.norm())
    assert norm == pytest.approx(1 / 1.5, rel=1e-5) and norm < 1 / 1.5
    assert x.shape == (2,) and block.U.shape == (6, 2)


def test_a_weight_of_rank_one_whose_units_are_open_has_nearly_the_radius_that_the_norm_allows(found):
    assert all(0.8 < radius < 1 / 1.05 for radius in values(found, "radius", dataset="open"))
    assert max(values(found, "radius", dataset="random")) < 0.5


def test_both_errors_fall_and_do_so_at_the_rate_of_the_radius(found):
    for order in ("first", "second"):
        assert max(values(found, f"{order}_growth")) <= 1 + 1e-12
        late = values(found, f"{order}_over_rate", dataset="open", K=32)
        early = values(found, f"{order}_over_rate", dataset="open", K=8)
        assert all(0.2 < a / b < 5 for a, b in zip(late, early, strict=True))


def test_equations_hold_and_the_proof_s_limit_does_not(found):
    assert max(values(found, "to_differences", method="equation-8")) < 1e-7
    assert max(values(found, "to_differences", method="equation-9")) < 1e-4
    assert max(values(found, "neumann")) < 1e-12
    assert min(values(found, "to_formula", method="recursion-limit", dataset="random")) > 1e-3
    assert min(values(found, "described", method="recursion-printed", K=1)) > 1e-3
    assert max(values(found, "described", method="recursion-ordered")) < 1e-12


def test_errors_below_rounding_do_not_count_as_growth():
    grown = {row["metric"]: row["value"] for row in growths({1: (1e-16, 0.1), 2: (5e-16, 0.2)})}
    assert grown == {"first_growth": 1.0, "second_growth": 2.0}
    fallen = {row["metric"]: row["value"] for row in growths({1: (0.5, 0.5), 2: (0.0, 0.25)})}
    assert fallen == {"first_growth": FLOOR / 0.5, "second_growth": 0.5}
