"""Peak bytes of one iteration of each kind of method, by size of the images. Source: tables S1a to S1c, figure 3."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deqbench.data import autoencoders
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.frames import iteration
from deqbench.experiments.decoder_inversion.memory.frames import frames
from deqbench.experiments.decoder_inversion.memory.job import MemoryJob
from deqbench.experiments.decoder_inversion.memory.kinds import KINDS, Kind, codec_for, pair
from deqbench.experiments.files import Files, OnStep
from deqbench.experiments.rows import Row
from deqbench.measure.peaks import frozen, peak_bytes

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
GIB = 1 << 30


def memory(job: MemoryJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Peak bytes of one iteration of every kind of method (memory), and frames that fit (frames), of one model."""
    vae = autoencoders.load(files.one("autoencoder")).to(job.device)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(job.seed)
    rows = {"memory": list(bytes_by_size(vae, job.memory.pixels, job.memory.batches, generator))}
    if (section := job.frames) is not None:
        fit = frames(vae, section.pixels, section.counts, section.held_out, section.budget_gib * GIB, generator)
        rows["frames"] = [{"experiment": "frames", **row} for row in fit]
    return rows


def process_bytes(run: Callable[[], object]) -> int | None:
    """Bytes by which `run` raises the peak of the process's resident memory; None where it cannot be reset (not Linux).

    It counts what tensors do not, the scratch space of kernels; what the allocator kept of earlier runs lowers it.
    """
    gc.collect()
    try:
        _trim()
        CLEAR.write_text("5", encoding="ascii")
        before = _resident("VmHWM")
        run()
        return _resident("VmHWM") - before
    except OSError:
        return None


def _resident(name: str) -> int:
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _trim() -> None:
    """Gives freed memory back to the system, where the C library can; else runs would live off their predecessors'."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def bytes_by_size(vae: Any, resolutions: list[int], batches: list[int], generator: torch.Generator) -> Iterator[Row]:
    """Rows pixels, batch, method, metric, value: bytes of one iteration of every kind, and what is saved by it.

    Each size with a batch of one, and the smallest with all batches. peak_bytes: tensors without the weights;
    with_weights: and with them; saved_bytes: kept for the backward pass, none for checkpointing, which hides it;
    resident_bytes: of the process. equal_ratio: the gradient method's peak over this one's in the same precision;
    mixed_ratio and mixed_saving: the gradient method's peak in float32 over this one's, and 1 minus its inverse;
    the same `_whole` with weights.
    """
    kinds = {name: codec for name, kind in KINDS.items() if (codec := codec_for(vae, kind)) is not None}
    sizes = [(pixels, 1) for pixels in resolutions] + [(min(resolutions), batch) for batch in batches if batch > 1]
    for pixels, batch in sizes:
        x, z = pair(vae, pixels, batch, generator)
        with frozen():
            counted = {name: _counted(codec, KINDS[name], x, z) for name, codec in kinds.items()}
        for name, metrics in counted.items():
            for metric, value in {**metrics, **_compared(name, counted)}.items():
                key = {"pixels": pixels, "batch": batch, "method": name, "metric": metric}
                yield {**key, "value": float(value), "unit": "B" if metric.endswith(("bytes", "weights")) else ""}


def _counted(codec: Codec, kind: Kind, x: Tensor, z: Tensor) -> dict[str, float]:
    weights = [*codec.vae.parameters(), *codec.vae.buffers()]

    def run() -> Tensor:
        return iteration(codec, kind.family, x, z)

    resident = process_bytes(run)
    at_once = peak_bytes(run, weights)
    held = sum(tensor.untyped_storage().nbytes() for tensor in weights)
    metrics: dict[str, float] = {"peak_bytes": at_once["peak"], "with_weights": at_once["peak"] + held}
    if kind.family == "gradient" and kind.form != "checkpointed":
        metrics["saved_bytes"] = at_once["saved"]
    if resident is not None:
        metrics["resident_bytes"] = resident
    return metrics


def _compared(name: str, counted: dict[str, dict[str, float]]) -> dict[str, float]:
    """Ratios to the gradient method, of the same precision and of float32."""
    equal = {"bf16": "gradient-bf16", "fp32": "gradient"}[KINDS[name].precision]
    ratios = {}
    for metric, word in (("peak_bytes", ""), ("with_weights", "_whole")):
        mine = counted[name][metric]
        if mine:
            ratios[f"equal_ratio{word}"] = counted[equal][metric] / mine
            ratios[f"mixed_ratio{word}"] = counted["gradient"][metric] / mine
            ratios[f"mixed_saving{word}"] = 1 - mine / counted["gradient"][metric]
    return ratios
