"""Seconds of decoder inversions, one image at a time, methods in turn; and what a budget takes by them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from deqbench.decoder_inversion.codec import Codec
from deqbench.experiments.decoder_inversion.methods import BoundInverter
from deqbench.experiments.decoder_inversion.sweep.job import TimesJob
from deqbench.experiments.decoder_inversion.target_files import Targets
from deqbench.experiments.rows import Row


def times(model: str, vae: nn.Module, targets: Targets, job: TimesJob) -> list[Row]:
    """Records of run_s: seconds of a whole run of each timed budget, from the image on, by image; the first warms up.

    The released variants include the copies that their code makes; measuring is not part of it.
    """
    timed, vae = job.models[model], vae.to(job.device).eval()
    methods = [BoundInverter.of(job, name, vae) for name in timed.methods]
    x = targets.images(timed.model.quantised).to(job.device)
    reference = Codec(vae, max_batch=job.pictures)
    rows: list[Row] = []
    for turn in range(-1, min(timed.images, len(x))):
        for method in methods:
            for budget in job.budgets[method.name]:
                image = x[max(turn, 0) : max(turn, 0) + 1]
                ran = method.invert(image, method.rates[0], budget, reference, every=None, z_true=None)
                if turn >= 0:
                    at = {"method": method.name, "iterations": budget, "image": turn}
                    rows.append({**at, "metric": "run_s", "value": float(ran.seconds[-1]), "unit": "s"})
    return rows


def seconds(times: pd.DataFrame, method: str, iterations: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds of a run of so many iterations (n,), by the medians over images of the timed budgets.

    Linear between timed budgets, of which 0 is one, and beyond the last.
    times: rows method, iterations, value. ValueError: the method was not timed at two budgets.
    """
    medians = times[times["method"] == method].groupby("iterations")["value"].median()
    if len(medians) < 2:
        raise ValueError(f"times: expected two timed budgets of {method}; found {len(medians)}")
    return extended(medians.index.to_numpy(dtype=float), medians.to_numpy(dtype=float), iterations)


def extended(x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """y (n,) at the places `at`, linear between the x (n,), rising, and beyond the last with the slope before it.

    A slope that noise has made negative counts as 0. Below the first x y stays what it is there.
    """
    slope = max(0.0, float((y[-1] - y[-2]) / (x[-1] - x[-2])))
    return np.asarray(np.interp(at, x, y) + slope * np.maximum(at - x[-1], 0))
