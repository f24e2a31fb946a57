"""Colour patches of nine photographs that scikit-image and scikit-learn ship, each split into regions by columns."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIZE = 64
# The order gives the labels. Pictures beyond a thousand pixels are halved first.
PICTURES = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "hubble_deep_field",
    "retina",
    "immunohistochemistry",
    "china.jpg",
    "flower.jpg",
)
HALVED = ("hubble_deep_field", "retina")
TUNING_WIDTH, TEST_WIDTH = 64, 96  # columns at a picture's right end, the rest but the gaps is for training
STRIDES = {"train": 18, "tuning": 32, "test": 32}
LEAST_STD = 0.03  # of the values in [-1, 1]; black borders have less


def picture(name: str) -> Tensor:
    """A picture as float32 in [-1, 1], (3, H, W), read from the packages' own files."""
    import skimage.data
    from skimage.transform import downscale_local_mean
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image(name) if name.endswith(".jpg") else getattr(skimage.data, name)()  # (H, W, 3) uint8
    if name in HALVED:
        pixels = downscale_local_mean(pixels, (2, 2, 1))
    values: NDArray[np.float32] = (pixels / 127.5 - 1).astype(np.float32)
    return torch.from_numpy(values).permute(2, 0, 1)


def columns(width: int) -> dict[str, tuple[int, int]]:
    """The columns of each split in a picture of that width, a gap of one patch between the regions."""
    tuning = width - TEST_WIDTH - SIZE - TUNING_WIDTH
    return {
        "train": (0, tuning - SIZE),
        "tuning": (tuning, tuning + TUNING_WIDTH),
        "test": (width - TEST_WIDTH, width),
    }


def patches(region: Tensor, stride: int) -> Tensor:
    """The patches (N, 3, 64, 64) at every `stride` pixels of a region (3, H, W), but for those of one colour."""
    windows = region.unfold(1, SIZE, stride).unfold(2, SIZE, stride)  # (3, H', W', 64, 64)
    cut = windows.permute(1, 2, 0, 3, 4).flatten(0, 1)
    return cut[cut.flatten(1).std(1) > LEAST_STD].contiguous()


def labelled() -> Iterator[tuple[str, Tensor, Tensor]]:
    """For each picture and split its name, its patches (N, 3, 64, 64) and their labels (N,) int64, in order."""
    for label, name in enumerate(PICTURES):
        whole = picture(name)
        for split, (left, right) in columns(whole.shape[2]).items():
            cut = patches(whole[:, :, left:right], STRIDES[split])
            yield split, cut, torch.full((len(cut),), label)
