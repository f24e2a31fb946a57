"""Rows of a table made ready for a density: dequantised, whitened and noised, by what train alone tells.

Source: as the sliced-score-matching paper prepares the UCI tables, but for the whitening, which there sees all rows.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from deqbench.data.splits import SPLITS, Dataset


def prepared(dataset: Dataset, *, dequantise: float, whiten: bool, noise: float, seed: int) -> Dataset:
    """The data set with other rows; what was done stands in `about`.

    dequantise: uniform noise on every column, at most so many of the median gaps between its different values in train.
    whiten: principal components of train, each with mean 0 and variance 1 there. noise: standard deviation of normal
    noise added last. 0 or False: none of it. A generator of (seed, split) draws for each split.
    ValueError: whitening of columns that depend on each other.
    """
    generators = [torch.Generator().manual_seed(3 * seed + number) for number in range(len(SPLITS))]
    parts = [getattr(dataset, split).double() for split in SPLITS]
    if dequantise:
        reach = dequantise * gaps(parts[0])
        parts = [
            rows + reach * (2 * torch.rand(rows.shape, generator=generator, dtype=torch.float64) - 1)
            for rows, generator in zip(parts, generators, strict=True)
        ]
    if whiten:
        white = whitening(parts[0])
        parts = [white(rows) for rows in parts]
    if noise:
        parts = [
            rows + noise * torch.randn(rows.shape, generator=generator, dtype=torch.float64)
            for rows, generator in zip(parts, generators, strict=True)
        ]
    done = {"dequantise": dequantise, "whiten": whiten, "noise": noise, "preparation_seed": seed}
    rows = {split: part.float() for split, part in zip(SPLITS, parts, strict=True)}
    return replace(dataset, **rows, about={**dataset.about, **done})


def gaps(rows: Tensor) -> Tensor:
    """The median gap between neighbouring different values of each column of rows (N, d): (d,)."""
    return torch.stack([column.unique().diff().median() for column in rows.T])


def whitening(rows: Tensor) -> Callable[[Tensor], Tensor]:
    """The affine map that gives rows (N, d) mean 0 and covariance I, onto their principal axes."""
    mean = rows.mean(0)
    _, lengths, axes = torch.linalg.svd(rows - mean, full_matrices=False)
    if lengths[-1] <= 1e-9 * lengths[0]:
        raise ValueError("whitening: expected columns that do not depend on each other; found some that do")
    matrix = axes.T / lengths * len(rows) ** 0.5
    return lambda x: (x - mean) @ matrix
