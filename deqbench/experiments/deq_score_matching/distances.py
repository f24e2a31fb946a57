"""Frechet distances of generated images to the training images, in features that are named."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from deqbench import zoo
from deqbench.data.datasets import Dataset
from deqbench.metrics import frechet
from deqbench.metrics.features import Extractor, load_extractor


def pixels(images: Tensor) -> Tensor:
    """The images as they are, (N, C H W)."""
    return images.flatten(1)


@dataclass(frozen=True)
class Scoring:
    """Frechet distances to the training images, in the features named."""

    features: str
    extract: Extractor
    moments: tuple[frechet.Features, frechet.Features]

    @classmethod
    def of(cls, data: Dataset, statistics: list[Path], extractor: str | None) -> "Scoring":
        """In the features of an extractor, from the file of the training images'; None: in pixels."""
        if extractor is None:
            return cls("pixels", pixels, frechet.moments(pixels(data.train).double().numpy()))
        train = load_file(statistics[0])["train"].double().numpy()
        source = extractor if extractor == "inception" else str(zoo.path(extractor))
        return cls(extractor, load_extractor(source), frechet.moments(train))

    def distance(self, images: Tensor) -> float:
        """The distance of images (N, C, H, W); nan where one is not finite."""
        features = self.extract(images.cpu().float()).double().numpy()
        return frechet.frechet(features, self.moments) if np.isfinite(features).all() else float("nan")
