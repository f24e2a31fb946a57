"""Seconds and bytes from an image to x_T, by decoder inverter, one image at a time. Source: table 2."""

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from deqbench import jobs
from deqbench.config.decoder.watermark import ORACLE
from deqbench.decoder_inversion import tree_rings
from deqbench.decoder_inversion.classify import inverted, mark, model_at, walked_back
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.decoder_inversion.sweep import Method
from deqbench.measure.memory import LiveBytes

Row = dict[str, Any]


def times(
    vae: nn.Module, made: LatentModel, job: jobs.decoder.MarkJob, on_step: Callable[[int], None] | None = None
) -> list[Row]:
    """Records of time_s, its part decoder_s, and peak_bytes, the methods in turn; the first turn warms up.

    peak_bytes: of all tensors that live at once during the inversions of one image, beside the weights;
    peak_bytes_ratio: the gradient-based method's over a method's.
    """
    guidance, way = job.marked.timed_at
    model, codec = model_at(made, job, guidance), Codec(vae, max_batch=job.max_batch)
    known = tree_rings.keys(job.seed, job.keys, made.shape, job.radius, symmetric=job.symmetric)
    found = mark(model, codec, known, job.marked.timed, job.seed, job.model.quantised)
    methods = {name: Method(name, job.inverters[name], vae, job.seed, job.max_batch) for name in iterations_of(job)}
    rows: list[Row] = []

    def measured(name: str, image: int) -> tuple[float, float]:
        x, label = found.x[image, None], found.labels[image, None]
        started = _now(job.device)
        z = inverted(methods[name], x, iterations_of(job)[name])
        between = _now(job.device)
        walked_back(model, job, way, {name: z}, label)
        return between - started, _now(job.device) - started

    about = {"guidance": guidance, "inversion": way}
    for turn in range(-1, job.marked.timed):
        for name in methods:
            decoder_s, time_s = measured(name, max(turn, 0))
            if turn >= 0:
                for metric, value in (("decoder_s", decoder_s), ("time_s", time_s)):
                    rows.append({**about, "method": name, "image": turn, "metric": metric, "value": value, "unit": "s"})
        if on_step:
            on_step(turn + 2)
    bytes_of = {name: peak(partial(measured, name, 0)) for name in methods}
    for name, value in bytes_of.items():
        row = {**about, "method": name, "image": 0}
        rows.append({**row, "metric": "peak_bytes", "value": value, "unit": "bytes"})
        if job.gradient in bytes_of and name != job.gradient:
            rows.append({**row, "metric": "peak_bytes_ratio", "value": bytes_of[job.gradient] / value, "unit": ""})
    return rows


def iterations_of(job: jobs.decoder.MarkJob) -> dict[str, int]:
    """The iterations of the inverters that are timed."""
    return {name: count for name, count in job.marked.guidance[job.marked.timed_at[0]].items() if name != ORACLE}


def peak(call: Callable[[], object]) -> int:
    """Bytes of the tensors that live at once during the call, those made before left out."""
    gc.collect()
    with LiveBytes() as live:
        call()
    return live.peak


def _now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()
