"""Edits inside a known mask that keep what lies outside, along trajectories recovered from an image.

Source: appendix A.2.3, figure S3.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deqbench.decoder_inversion.codec import Codec, decibel, nmse, quantised
from deqbench.decoder_inversion.edits import edited, in_pixels
from deqbench.decoder_inversion.latent_models import LatentModel, classes
from deqbench.decoder_inversion.noise_inversion import recovered
from deqbench.diffusion import noise
from deqbench.experiments.decoder_inversion.editing.job import EditJob
from deqbench.experiments.decoder_inversion.methods import BoundInverter, inverted
from deqbench.experiments.decoder_inversion.models import device_of, labels_of, networks
from deqbench.experiments.decoder_inversion.shared import ORACLE
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row, of_images
from deqbench.measure.clock import in_turns

EDITED = 30_000  # the number of the first edited image: its noise is no target's
TRUE_LATENT = "oracle-z0"  # the true z_0, its trajectory recovered as for the methods
TIMED_ITERATIONS = 4


def edit(job: EditJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Background errors of every method's edits, and the images shown."""
    rows, pictures = edits(*networks(job, files), job, on_step)
    methods = ",".join(dict.fromkeys(row["method"] for row in rows))
    return {"errors": rows, "pictures": (pictures, {"dataset": job.dataset, "methods": methods})}


def middle(height: int, width: int) -> Tensor:
    """(height, width) bool: the mask, the middle half of either side."""
    rows, columns = torch.arange(height), torch.arange(width)
    return ((rows >= height // 4) & (rows < height - height // 4))[:, None] & (
        (columns >= width // 4) & (columns < width - width // 4)
    )


def iterations_at_equal_seconds(
    methods: dict[str, BoundInverter], x: Tensor, baseline: str, iterations: int, repeats: int
) -> dict[str, int]:
    """Iterations of each method that take as long as those of the baseline on images x, at least one.

    Seconds of an iteration are medians of runs that take turns, after a warm-up.
    """
    runs = {name: partial(inverted, method, x, TIMED_ITERATIONS) for name, method in methods.items()}
    seconds = {name: float(np.median(values)) for name, values in in_turns(runs, repeats).items()}
    return {name: max(1, round(iterations * seconds[baseline] / seconds[name])) for name in methods}


@dataclass(frozen=True)
class Originals:
    """B images as a model made them, and the classes that they are edited to."""

    states: list[Tensor]  # x_T first and z_0 last, each (B, c, h, w)
    labels: Tensor  # (B,) int64
    others: Tensor  # (B,) int64, the next class
    x: Tensor  # (B, 3, H, W)
    seen: Tensor  # (B, 3, H, W), as the inverters see it


def originals(model: LatentModel, codec: Codec, count: int, seed: int, to_8_bit: bool) -> Originals:
    """The first `count` images; the classes take turns."""
    device, conditions = device_of(model.network.net), classes(model.network) - 1
    labels = labels_of(range(count), conditions).to(device)
    x_T = noise.x_T(seed, range(EDITED, EDITED + count), model.shape).to(device)
    states = model.trajectory(x_T, labels)
    x = decoded(codec, states[-1])
    return Originals(states, labels, (labels + 1) % conditions, x, quantised(x) if to_8_bit else x)


def edits(vae: nn.Module, made: LatentModel, job: EditJob, on_step: OnStep) -> tuple[list[Row], dict[str, Tensor]]:
    """Records and pictures of every method's edits."""
    settings = job.edited
    model, codec = replace(made, steps=settings.steps or made.steps), Codec(vae, max_batch=job.pictures)
    own = originals(model, codec, settings.images, job.seed, job.model.quantised)
    mask = middle(*model.shape[1:]).to(own.x.device)
    latents, budgets, rows = inverted_by_all(vae, own, job, on_step)
    pictures = {"original": own.seen[: settings.shown].cpu(), "mask": mask.cpu()}
    for name in (ORACLE, *latents):
        path = own.states
        if name != ORACLE:
            path = recovered(model, latents[name], own.labels, **settings.inversion.options).states
        z = edited(model, path, own.others, mask)
        image, about = decoded(codec, z), {"method": name, "iterations": budgets.get(name, 0)}
        rows += [{**about, **row} for row in errors(z, own.states[-1], path[-1], image, own.x, mask)]
        pictures[name] = quantised(image[: settings.shown]).cpu()
        kept = nmse(image[..., ~in_pixels(mask, image)], own.x[..., ~in_pixels(mask, image)])
        pictures[f"{name}/background"] = decibel(kept)[: settings.shown].cpu()
    return rows, pictures


def inverted_by_all(
    vae: nn.Module, own: Originals, job: EditJob, on_step: OnStep
) -> tuple[dict[str, Tensor], dict[str, int], list[Row]]:
    """By method, the latents of the originals and the iterations run for them, and records of iterations and seconds.

    The true latents are among the latents, without iterations and records.
    """
    settings = job.edited
    methods = {name: BoundInverter.of(job, name, vae) for name in job.inverters}
    moving = {name: method for name, method in methods.items() if method.inverter.inverter != "encoder"}
    budgets = iterations_at_equal_seconds(moving, own.seen[:8], settings.baseline, settings.iterations, settings.timed)
    latents, rows = {TRUE_LATENT: own.states[-1]}, list[Row]()
    for name, method in stepped(methods.items(), on_step):
        started = time.perf_counter()
        latents[name] = inverted(method, own.seen, budgets.get(name, 0))
        seconds = (time.perf_counter() - started) / settings.images
        about = {"method": name, "iterations": budgets.get(name, 0)}
        rows.append({**about, "metric": "time_s", "value": seconds, "unit": "s"})
        rows.append({**about, "metric": "iterations_run", "value": about["iterations"], "unit": "iterations"})
    return latents, budgets, rows


@torch.no_grad()
def decoded(codec: Codec, z: Tensor) -> Tensor:
    """D(z), (B, 3, H, W)."""
    return codec.decode(z)


def errors(z: Tensor, z_true: Tensor, inverse: Tensor, image: Tensor, x: Tensor, mask: Tensor) -> Iterator[Row]:
    """Metrics of each edit: its background against the original's, in pixels and latents, and the latents as found.

    z, z_true, inverse: (B, c, h, w), edited, original and inverted; image, x: (B, 3, H, W); mask: (h, w). An error of
    exactly 0, the oracle's, has no dB and no record.
    """
    pixels = in_pixels(mask, x)
    by_metric = {
        "background_nmse_db": nmse(image[..., ~pixels], x[..., ~pixels]),
        "latent_background_nmse_db": nmse(z[..., ~mask], z_true[..., ~mask]),
        "nmse_db": nmse(inverse, z_true),
        "changed_nmse_db": nmse(image[..., pixels], x[..., pixels]),
    }
    rows = of_images({metric: decibel(values) for metric, values in by_metric.items()}, dict.fromkeys(by_metric, "dB"))
    return (row for row in rows if np.isfinite(row["value"]))
