"""Mean and variances of a data set's images, the statistics behind the linear parts of `deqbench.diffusion.splits`."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Of images (C, H, W), all float64 of that shape."""

    mean: Tensor
    pixels: Tensor  # variance of each pixel
    frequencies: Tensor  # variance of each coefficient of the two-dimensional cosine transform

    @classmethod
    def of(cls, images: Tensor) -> "Moments":
        """images: (n, C, H, W), none of them among those that are measured."""
        images = images.double()
        return cls(images.mean(0), images.var(0), cosines(images).var(0))

    @property
    def variance(self) -> float:
        """One for all pixels."""
        return float(self.pixels.mean())


def cosines(images: Tensor) -> Tensor:
    """The orthonormal two-dimensional cosine transform (type II) of images (..., H, W)."""
    rows, columns = (matrix(side).to(images) for side in images.shape[-2:])
    return rows @ images @ columns.mT


def pictures(coefficients: Tensor) -> Tensor:
    """The images (..., H, W) of which `cosines` makes these coefficients."""
    rows, columns = (matrix(side).to(coefficients) for side in coefficients.shape[-2:])
    return rows.mT @ coefficients @ columns


def matrix(side: int) -> Tensor:
    """The orthonormal cosine transform (type II) of so many values: (side, side) float64."""
    return torch.from_numpy(scipy.fft.dct(np.eye(side), norm="ortho", axis=0))
