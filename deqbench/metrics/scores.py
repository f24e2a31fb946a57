"""The scores of table 1: distances to the training images, a floor of real ones, differences to a baseline's images."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from deqbench import zoo
from deqbench.data.datasets import Dataset, all_symmetries
from deqbench.metrics import frechet
from deqbench.metrics.errors import relative_error
from deqbench.metrics.features import Extractor, load_extractor
from deqbench.metrics.intervals import median_interval, t_interval, wilson

REAL, SPOILT = "real", "ddim-with-noise"
SPOILT_NOISE = 0.2  # standard deviation, images in [-1, 1]
Images = dict[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """The real images that others are scored against."""

    extract: Extractor
    train: frechet.Features  # (N, D)
    moments: tuple[frechet.Features, frechet.Features]
    neighbours: frechet.Features  # (M, C*H*W) training images
    symmetric: bool  # training saw them in all eight symmetries
    test: Tensor  # (N, C, H, W)

    @classmethod
    def load(cls, statistics: Path, dataset: Dataset, extractor: str) -> "Reference":
        """The reference of a data set, from its features' file."""
        train = load_file(statistics)["train"].double().numpy()
        neighbours = dataset.train.flatten(1).double().numpy()
        extract = load_extractor(extractor if extractor == "inception" else str(zoo.path(extractor)))
        return cls(extract, train, frechet.moments(train), neighbours, dataset.symmetric, dataset.test)

    def nearest(self, images: Tensor) -> frechet.Features:
        """(n,) distances of images (n, C, H, W) to the nearest training image, rms, whichever way it was turned."""
        turned = all_symmetries(images) if self.symmetric else images  # eight times a few images, not all of training
        return frechet.nearest(turned.flatten(1).numpy(), self.neighbours).reshape(-1, len(images)).min(0)

    def real(self, n: int) -> Tensor:
        """At most n test images, spread evenly over the split."""
        places = np.unique(np.linspace(0, len(self.test) - 1, min(n, len(self.test))).round().astype(int))
        return self.test[places]


def table(
    images: dict[str, Images], reference: Reference, *, baseline: str, same: Container[str], seed: int
) -> list[dict[str, Any]]:
    """Rows method, metric, value, low, high, n, unit, note for every method, for real test images and for spoilt ones.

    same: the methods whose images should be the baseline's. seed: of the noise that spoils.
    Images that diverged are scored as zeros, mid grey, and the scores' note says how many these are. The interval of a
    difference is paired: both methods lose the same block of images, which started at the same x_T.
    """
    shown = {name: _shown(drawn) for name, drawn in images.items()}
    base = shown[baseline]
    features = {name: _features(reference, x0) for name, x0 in shown.items()}
    n = len(base)
    real = reference.real(n)
    generator = torch.Generator().manual_seed(seed)
    spoilt = base + SPOILT_NOISE * torch.randn(base.shape, generator=generator)
    rows = []
    for name, drawn in images.items():
        mine, theirs = _note(drawn), _note(images[baseline], " of the baseline")
        rows += [row | {"note": mine} for row in _distances(name, features[name], shown[name], reference)]
        rows += _counts(name, drawn)
        compared = [_difference(name, features[name], features[baseline], reference)]
        if name in same:
            compared.append(_median(name, "x0_error", relative_error(shown[name], base).numpy()))
        if name == baseline:
            compared, theirs = compared[1:], ""
        rows += [row | {"note": "; ".join(filter(None, (mine, theirs)))} for row in compared]
    rows += _distances(REAL, _features(reference, real), real, reference)
    control = _features(reference, spoilt)
    rows += _distances(SPOILT, control, spoilt, reference)
    rows.append(_difference(SPOILT, control, features[baseline], reference))
    return rows


def _diverged(drawn: Images) -> Tensor:
    """(n,) bool: those that the sampler gave up, and any with a pixel that is no number."""
    return drawn["diverged"].bool() | ~drawn["x0"].flatten(1).isfinite().all(1)


def _shown(drawn: Images) -> Tensor:
    """The images with zeros in the place of those that diverged: (n, C, H, W)."""
    return drawn["x0"].masked_fill(_diverged(drawn).view(-1, *[1] * (drawn["x0"].ndim - 1)), 0.0)


def _note(drawn: Images, whose: str = "") -> str:
    lost = _diverged(drawn)
    return f"{int(lost.sum())} of {len(lost)} images{whose} diverged, replaced by zeros" if lost.any() else ""


def _features(reference: Reference, x0: Tensor) -> frechet.Features:
    return reference.extract(x0.clamp(-1, 1)).double().numpy()


def _row(method: str, metric: str, told: tuple[float, float, float], n: int, unit: str = "") -> dict[str, Any]:
    value, low, high = (float(x) for x in told)
    return {"method": method, "metric": metric, "value": value, "low": low, "high": high, "n": n, "unit": unit}


def _distances(name: str, features: frechet.Features, x0: Tensor, reference: Reference) -> list[dict[str, Any]]:
    n = len(features)
    near = reference.nearest(x0)

    def distance(kept: NDArray[np.bool_]) -> float:
        return frechet.frechet(features[kept], reference.moments)

    pixels = x0.double().flatten(1)
    return [
        _row(name, "frechet", frechet.jackknife(distance, n), n),
        _row(name, "kid", (frechet.kernel_distance(features, reference.train), np.nan, np.nan), n),
        _row(name, "nearest_train", (near.mean(), *t_interval(near)), n, "rms"),
        _row(name, "pixel_mean", (float(pixels.mean()), *t_interval(pixels.mean(1))), n),
        _row(name, "pixel_std", (float(pixels.std()), np.nan, np.nan), n),
    ]


def _difference(name: str, mine: frechet.Features, base: frechet.Features, reference: Reference) -> dict[str, Any]:
    def difference(kept: NDArray[np.bool_]) -> float:
        return frechet.frechet(mine[kept], reference.moments) - frechet.frechet(base[kept], reference.moments)

    return _row(name, "frechet_difference", frechet.jackknife(difference, len(base)), len(base))


def _median(name: str, metric: str, values: frechet.Features, unit: str = "") -> dict[str, Any]:
    return _row(name, metric, (float(np.median(values)), *median_interval(values)), len(values), unit)


def _counts(name: str, drawn: Images) -> list[dict[str, Any]]:
    lost = _diverged(drawn)
    k, n = int(lost.sum()), len(lost)
    rows = [
        _median(name, "rounds", drawn["rounds"].double().numpy(), "rounds"),
        _median(name, "nfe", drawn["nfe"].double().numpy(), "evaluations"),
        _row(name, "diverged", (k / n, *wilson(k, n)), n),
    ]
    if "diffusers" in drawn:
        walked = drawn["diffusers"]
        errors = relative_error(drawn["x0"][: len(walked)], walked).numpy()
        rows.append(_row(name, "diffusers_error", (float(np.median(errors)), np.nan, np.nan), len(walked)))
    return rows
