"""95 % intervals of what the tables show."""

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

Interval = tuple[float, float]


def t_interval(values: ArrayLike) -> Interval:
    """Student's interval of a mean. values: (n,); NaN for n < 2."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    low, high = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(low), float(high)


def log_interval(values: ArrayLike) -> Interval:
    """Student's interval of a geometric mean. values: (n,), positive. ValueError: one is not."""
    values = np.asarray(values, dtype=float)
    if not (values > 0).all():
        raise ValueError("a geometric mean needs positive finite values; use a difference for losses and dB")
    low, high = t_interval(np.log(values))
    return float(np.exp(low)), float(np.exp(high))


def median_interval(values: ArrayLike) -> Interval:
    """Distribution-free interval of a median from order statistics; NaN where n is too small for one (n < 6)."""
    values = np.asarray(values, dtype=float)
    if len(values) < 6:
        return float("nan"), float("nan")
    found = scipy.stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    return float(found.low), float(found.high)


def wilson(successes: int, n: int) -> Interval:
    """Wilson's interval of a proportion."""
    found = scipy.stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
