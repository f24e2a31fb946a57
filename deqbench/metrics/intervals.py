"""Intervals of what the tables show, all of one LEVEL. Closed forms over scipy.special: scipy.stats takes a second."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri, stdtrit

Interval = tuple[float, float]
TAIL = 0.025  # on either side
LEVEL = 1 - 2 * TAIL
PERCENT = f"{100 * LEVEL:.0f} %"
NORMAL = float(ndtri(1 - TAIL))  # half the width of a standard normal's interval


def t_reach(error: float, degrees: int) -> float:
    """Half the width of Student's interval of a value with this standard error, of so many degrees of freedom."""
    return float(stdtrit(degrees, 1 - TAIL) * error)


def t_interval(values: ArrayLike) -> Interval:
    """Student's interval of a mean. values: (n,); NaN for n < 2."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return float("nan"), float("nan")
    mean, reach = float(values.mean()), t_reach(float(values.std(ddof=1)) / np.sqrt(n), n - 1)
    return mean - reach, mean + reach


def log_interval(values: ArrayLike) -> Interval:
    """Student's interval of a geometric mean. values: (n,), positive. ValueError: one is not."""
    values = np.asarray(values, dtype=float)
    if not (values > 0).all():
        raise ValueError("a geometric mean needs positive finite values; use a difference for losses and dB")
    low, high = t_interval(np.log(values))
    return float(np.exp(low)), float(np.exp(high))


def median_interval(values: ArrayLike) -> Interval:
    """Distribution-free interval of a median from order statistics; NaN where n is too small for one (n < 6)."""
    values = np.sort(np.asarray(values, dtype=float))
    n = len(values)
    # As many values lie below the median as a fair coin shows heads.
    rank = int(np.searchsorted(bdtr(np.arange(n), n, 0.5), TAIL)) if n else 0
    return (float(values[rank - 1]), float(values[n - rank])) if rank else (float("nan"), float("nan"))


def wilson(successes: int, n: int) -> Interval:
    """Wilson's interval of a proportion."""
    z, share = NORMAL, successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    return max(0.0, middle - reach), min(1.0, middle + reach)
