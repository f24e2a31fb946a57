"""Frames of a video that fit a budget of bytes, and how to cut a video so that it fits. Source: abstract."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.codec_memory import KINDS, codec_for, iteration, pair
from deqbench.errors import UserError
from deqbench.measure.peaks import frozen, peak_bytes

Row = dict[str, Any]
GIB = 1 << 30


@dataclass(frozen=True)
class Line:
    """Bytes as fixed + per_frame * frames."""

    fixed: float
    per_frame: float

    @classmethod
    def through(cls, counts: list[int], measured: list[int]) -> "Line":
        """The least-squares line through bytes measured at two counts of frames or more."""
        per_frame, fixed = np.polyfit(counts, measured, 1)
        return cls(float(fixed), float(per_frame))

    def at(self, frames: int) -> float:
        """Bytes of so many frames."""
        return self.fixed + self.per_frame * frames

    def fitting(self, budget_bytes: float) -> int:
        """The most frames within the budget, 0 where not even one fits."""
        # A count that fits exactly may lie a rounding error below itself.
        return max(0, int((budget_bytes - self.fixed) / self.per_frame + 1e-9))


def line_of(codec: Codec, x: Tensor, *, gradient: bool = False, counts: tuple[int, ...] = (1, 2)) -> Line:
    """Bytes of one iteration on the first frames of x (F, 3, H, W), by the number of frames passed through at once.

    gradient: of a gradient-based iteration instead of a gradient-free one. The codec's own `max_batch` must not be
    smaller than the counts.
    """
    with torch.no_grad():
        z = codec.encode(x[: max(counts)])
    family = "gradient" if gradient else "free"
    known = [*codec.vae.parameters()]
    measure = _measure(codec, family, x, z, known)
    return Line.through(list(counts), [measure(n) for n in counts])


def frames_that_fit(codec: Codec, x: Tensor, budget_bytes: float, *, gradient: bool = False) -> int:
    """How many of the frames x (F, 3, H, W) an iteration may take at once within the budget of bytes, weights apart.

    E and D treat frames one by one, so that a codec with this `max_batch` gives what the whole would.
    UserError: not even one fits, or there are none.
    """
    if not len(x):
        raise UserError("frames: expected at least one; found none")
    if len(x) == 1:
        return 1
    line = line_of(codec, x, gradient=gradient)
    count = line.fitting(budget_bytes)
    if not count:
        need = line.at(1) / 2**20
        raise UserError(f"budget: expected at least {need:.0f} MiB for one frame; found {budget_bytes / 2**20:.0f} MiB")
    return min(count, len(x))


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
            known = [*codec.vae.parameters()]
            measure = _measure(codec, kind.family, x, z, known)
            lines[name] = Line.through(counts, [measure(n) for n in counts])
            checked[name] = lines[name].at(held_out) / measure(held_out)
            weights[name] = sum(tensor.untyped_storage().nbytes() for tensor in (*known, *codec.vae.buffers()))
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


def _measure(codec: Codec, family: str, x: Tensor, z: Tensor, known: list[Tensor]) -> Callable[[int], int]:
    return lambda n: peak_bytes(lambda: iteration(codec, family, x[:n], z[:n]), known)["peak"]
