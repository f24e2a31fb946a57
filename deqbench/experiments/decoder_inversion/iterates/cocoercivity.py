"""Cocoercivity of E after D along the iterates, and whether it goes with convergence. Source: section 3.4, Eq. 14."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deqbench.decoder_inversion.codec import decibel, nmse
from deqbench.experiments.decoder_inversion.iterates.trajectories import Trajectory
from deqbench.experiments.rows import Row, of_images
from deqbench.metrics.intervals import LEVEL, t_reach

LEAST = 4  # instances that a correlation with an interval needs
FITTED = {  # statistic: what is compared with what
    "slope": ("cocoercivity", "convergence"),
    "correlation": ("cocoercivity", "convergence"),
    "nmse_correlation": ("convergence", "final_nmse_db"),
}


def ratios(images: Tensor, points: Tensor) -> Tensor:
    """(K, B) float64: <u, v> / ||u||^2 of each state, infinite where u is 0, for the condition then binds nothing.

    images: (K, B, ...) differences u of E(D(.)), or T; points: (K, B, ...) differences v of the states, both taken to
    the same limit. The smallest over K is the largest beta that fits. Source: Eqs. 9, 12 and 14.
    """
    u, v = images.double().flatten(2), points.double().flatten(2)
    length = u.square().sum(2)
    return torch.where(length == 0, math.inf, (u * v).sum(2) / length)


def along(run: Trajectory) -> Tensor:
    """(B,) float64, min over k of the ratio of Eq. 14 at the iterates kept; NaN where they are not all finite."""
    return ratios(run.limit_again - run.again, run.limit - run.z).amin(0)


def rows(method: str, run: Trajectory, wide: Tensor | None, z_true: Tensor) -> Iterator[Row]:
    """Rows of one method: each instance's measures, then the statistics over instances, with low, high and n.

    wide: (B,) the ratios' smallest with E(D(.)) evaluated in float32, of a run in half precision. z_true: (B, ...).
    """
    smallest = along(run)
    measures = {
        "cocoercivity": smallest,
        "positive": (smallest > 0).double(),
        "convergence": (run.z[-1].double() - run.limit.double()).flatten(1).norm(dim=1),
        "final_nmse_db": decibel(nmse(run.limit, z_true)),
    }
    if wide is not None:
        measures |= {"cocoercivity_fp32": wide, "positive_fp32": (wide > 0).double()}
    yield from of_images(measures, {"convergence": "2-norm", "final_nmse_db": "dB"}, method=method)
    for statistic, (value, low, high, n) in fitted({name: values.numpy() for name, values in measures.items()}).items():
        yield {"method": method, "metric": statistic, "value": value, "low": low, "high": high, "n": n, "unit": ""}


def fitted(measures: dict[str, NDArray[np.float64]]) -> dict[str, tuple[float, float, float, int]]:
    """Statistics over instances as (value, low, high, n), 95 % intervals: those of FITTED that can be computed.

    measures: (n,) each, by name; an instance with a value that is not finite takes no part.
    """
    statistics = {}
    for statistic, (left, right) in FITTED.items():
        x, y = measures[left], measures[right]
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = x[finite], y[finite]
        if len(x) >= LEAST and np.ptp(x) > 0 and np.ptp(y) > 0:
            statistics[statistic] = (line(x, y)[2:] if statistic == "slope" else correlation(x, y)) + (len(x),)
    return statistics


def line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Intercept, slope, slope, and the ends of the slope's 95 % interval, of the least-squares line through (n,)."""
    from scipy.stats import linregress

    fit = linregress(x, y)
    reach = t_reach(float(fit.stderr), len(x) - 2)
    slope = float(fit.slope)
    return float(fit.intercept), slope, slope, slope - reach, slope + reach


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Pearson's correlation of (n,) values and its 95 % interval, by Fisher's transformation."""
    from scipy.stats import pearsonr

    fit = pearsonr(x, y)
    interval = fit.confidence_interval(LEVEL)
    return float(fit.statistic), float(interval.low), float(interval.high)
