"""How surely two ways judged on the same images differ, against scipy."""

import numpy as np
import pytest
from scipy import stats

from deqbench.metrics import pairs


@pytest.mark.parametrize(("gains", "losses", "both", "neither"), [(9, 2, 30, 7), (0, 0, 20, 4), (0, 12, 3, 3)])
def test_the_paired_interval_is_walds_with_half_an_image_in_each_place(
    gains: int, losses: int, both: int, neither: int
) -> None:
    mine = np.repeat([True, False, True, False], (gains, losses, both, neither))
    base = np.repeat([False, True, True, False], (gains, losses, both, neither))
    found = pairs.gained(mine, base)
    doubled = np.repeat([1.0, -1.0, 0.0], (2 * gains + 1, 2 * losses + 1, 2 * (both + neither) + 2))
    middle, reach = doubled.mean(), stats.norm.ppf(0.975) * doubled.std() / np.sqrt(len(doubled) / 2)
    assert (found["low"], found["high"]) == pytest.approx((middle - reach, middle + reach))
    assert found["value"] == pytest.approx(mine.mean() - base.mean())
    assert found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize(("gains", "losses"), [(9, 2), (0, 5), (4, 4), (0, 0)])
def test_mcnemar_is_the_binomial_test(gains: int, losses: int) -> None:
    wanted = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert pairs.mcnemar(gains, losses) == pytest.approx(wanted)
