"""Frames of a video that fit a budget of bytes, by the kind of method. Source: abstract."""

from collections.abc import Iterator
from typing import Any

import torch

from deqbench.decoder_inversion.frames import Line, bytes_of
from deqbench.experiments.decoder_inversion.memory.kinds import KINDS, codec_for, pair
from deqbench.experiments.rows import Row
from deqbench.measure.peaks import frozen


def frames(
    vae: Any, pixels: int, counts: list[int], held_out: int, budget_bytes: float, generator: torch.Generator
) -> Iterator[Row]:
    """Rows method, metric, value: bytes by the number of frames taken at once, and how many fit, of every kind.

    fixed_bytes and bytes_per_frame: of the line through the bytes at `counts`; prediction: the line's bytes over those
    measured at `held_out` frames; frames: that fit the budget, weights counted too; frames_at_4: that fit what four
    frames take by gradients in float32 (the paper's four frames on its card), weights counted.
    """
    x, z = pair(vae, pixels, max(*counts, held_out), generator)
    lines, checked, weights = {}, {}, {}
    with frozen():
        for name, kind in KINDS.items():
            if kind.family == "encoder" or (codec := codec_for(vae, kind)) is None:
                continue
            measure = bytes_of(codec, kind.family, x, z)
            lines[name] = Line.through(counts, [measure(n) for n in counts])
            checked[name] = lines[name].at(held_out) / measure(held_out)
            weights[name] = sum(
                tensor.untyped_storage().nbytes() for tensor in (*codec.vae.parameters(), *codec.vae.buffers())
            )
    four = lines["gradient"].at(4) + weights["gradient"]
    for name, line in lines.items():
        metrics = {
            "fixed_bytes": line.fixed,
            "bytes_per_frame": line.per_frame,
            "prediction": checked[name],
            "frames": float(line.fitting(budget_bytes - weights[name])),
            "frames_at_4": float(line.fitting(four - weights[name])),
        }
        for metric, value in metrics.items():
            unit = "B" if "bytes" in metric else "frames" if metric.startswith("frames") else ""
            yield {"pixels": pixels, "method": name, "metric": metric, "value": value, "unit": unit}
