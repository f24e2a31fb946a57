"""Two ways judged on the same images: how much more often one is right, and how sure that is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from deqbench.metrics.intervals import NORMAL


def gained(mine: NDArray[np.bool_], base: NDArray[np.bool_]) -> dict[str, Any]:
    """value, low, high, n and note of the share right of `mine` less that of `base`, both (n,), image by image.

    95 % interval of Agresti and Min ("Simple improved confidence intervals for comparing matched proportions", 2005):
    Wald's with half an image added to each of the four outcomes, so that it has a width where nobody differs. The note
    has McNemar's exact p-value.
    """
    n, gains, losses = len(mine), int((mine & ~base).sum()), int((base & ~mine).sum())
    total, plus, minus = n + 2, gains + 0.5, losses + 0.5
    middle = (plus - minus) / total
    reach = NORMAL * float(np.sqrt(plus + minus - (plus - minus) ** 2 / total)) / total
    words = f"{gains} images gained, {losses} lost; McNemar's p = {mcnemar(gains, losses):.2g}"
    return {"value": (gains - losses) / n, "low": middle - reach, "high": middle + reach, "n": n, "note": words}


def mcnemar(gains: int, losses: int) -> float:
    """The exact two-sided p-value of as uneven a split of the images that differ, were both equally good."""
    differ = gains + losses
    return min(1.0, 2 * float(bdtr(min(gains, losses), differ, 0.5))) if differ else 1.0
