"""Distances between two sets of features, and their intervals by a block jackknife."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from deqbench.metrics.intervals import t_reach

Features = NDArray[np.float64]  # (N, D)
BLOCKS = 20


def moments(features: Features) -> tuple[Features, Features]:
    """Mean (D,) and covariance (D, D) of features (N, D), as clean-fid takes them."""
    features = np.asarray(features, dtype=np.float64)
    return features.mean(0), np.cov(features, rowvar=False)


def frechet(features: Features, reference: tuple[Features, Features]) -> float:
    """Frechet distance (clean-fid's) of features (N, D) to the moments of the reference. Small N biases it upwards."""
    from cleanfid.fid import frechet_distance

    return float(frechet_distance(*moments(features), *reference))


def kernel_distance(features: Features, reference: Features) -> float:
    """KID: the unbiased squared MMD with the kernel (x.y / D + 1)^3, of at most 2,000 evenly spaced rows of either set.

    It may be negative. Source: Binkowski et al., Demystifying MMD GANs, 2018.
    """
    features, reference = _thinned(features), _thinned(reference)
    n, m = len(features), len(reference)
    within, other, between = _kernel(features, features), _kernel(reference, reference), _kernel(features, reference)
    return float(
        (within.sum() - np.trace(within)) / (n * (n - 1))
        + (other.sum() - np.trace(other)) / (m * (m - 1))
        - 2 * between.mean()
    )


def _kernel(left: Features, right: Features) -> Features:
    return np.asarray((left @ right.T / left.shape[1] + 1) ** 3)


def _thinned(features: Features, most: int = 2000) -> Features:
    return features[np.linspace(0, len(features) - 1, min(most, len(features))).round().astype(int)]


def jackknife(
    statistic: Callable[[NDArray[np.bool_]], float], n: int, blocks: int = BLOCKS
) -> tuple[float, float, float]:
    """(value, low, high): a statistic of n images and its 95 % interval, leaving out each of `blocks` runs of images.

    statistic: from a mask (n,) of the images kept. ValueError: n < 2 x blocks.
    """
    if n < 2 * blocks:
        raise ValueError(f"a jackknife over {blocks} blocks expects at least {2 * blocks} images; found {n}")
    block = np.arange(n) * blocks // n
    value = statistic(np.ones(n, dtype=bool))
    left_out = np.array([statistic(block != b) for b in range(blocks)])
    error = np.sqrt((blocks - 1) * left_out.var())
    reach = t_reach(error, blocks - 1)
    return value, value - reach, value + reach


def nearest(images: Features, references: Features) -> Features:
    """(N,) root-mean-square distance of each image (N, D) to the nearest of the references (M, D)."""
    distances = [
        torch.cdist(batch, torch.from_numpy(references).double()).amin(1)
        for batch in torch.from_numpy(images).double().split(256)
    ]
    return torch.cat(distances).numpy() / np.sqrt(images.shape[1])
