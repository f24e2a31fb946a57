"""Peak bytes of one iteration of each kind of method, by size of the images. Source: tables S1a to S1c, figure 3."""

import copy
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec, Precision
from deqbench.measure.peaks import frozen, peak_bytes

Row = dict[str, Any]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
WHOLE = 1 << 20  # pictures passed through at once: all of them, as the paper does


@dataclass(frozen=True)
class Kind:
    """One iteration of a method, in a precision."""

    family: str  # encoder, free or gradient
    precision: Precision
    form: str = "plain"  # plain, checkpointed or tiled


KINDS = {
    "encoder": Kind("encoder", "fp32"),
    "encoder-bf16": Kind("encoder", "bf16"),
    "free": Kind("free", "fp32"),
    "free-bf16": Kind("free", "bf16"),
    "free-tiled": Kind("free", "fp32", "tiled"),
    "gradient": Kind("gradient", "fp32"),
    "gradient-bf16": Kind("gradient", "bf16"),
    "gradient-checkpointed": Kind("gradient", "fp32", "checkpointed"),
    "gradient-tiled": Kind("gradient", "fp32", "tiled"),
}


def codec_for(vae: Any, kind: Kind) -> Codec | None:
    """A codec of its own for that kind, or None where the autoencoder cannot be had in that form.

    Parameters keep requires_grad, as autoencoders come; gradients are taken with respect to z alone.
    """
    if kind.form == "plain":
        return Codec(vae, kind.precision, max_batch=WHOLE)
    vae = copy.deepcopy(vae)
    switch = {"checkpointed": "enable_gradient_checkpointing", "tiled": "enable_tiling"}[kind.form]
    if not hasattr(vae, switch):
        return None
    getattr(vae, switch)()
    return Codec(vae, kind.precision, max_batch=WHOLE)


def iteration(codec: Codec, family: str, x: Tensor, z: Tensor) -> Tensor:
    """What one iteration computes: E(x), E(D(z)) or the gradient of the squared pixel error with respect to z.

    x: (B, 3, H, W), z: (B, c, h, w), or frames of both; the result has the shape of z.
    """
    if family == "gradient":
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            loss = (codec.decode(leaf) - x).square().sum()
            return torch.autograd.grad(loss, leaf)[0]
    with torch.no_grad():
        return codec.encode(x) if family == "encoder" else codec.again(z)


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


def scaled_sizes(vae: Any) -> tuple[int, int]:
    """Channels of a latent, and pixels of an image to a side of one of its entries."""
    widths = vae.config.get("block_out_channels") or vae.config["encoder_block_out_channels"]
    return int(vae.config["latent_channels"]), 2 ** (len(widths) - 1)


def pair(vae: Any, pixels: int, pictures: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (B, 3, pixels, pixels) and latents of that size to measure on; bytes do not depend on their values."""
    channels, factor = scaled_sizes(vae)
    side = pixels // factor
    z = torch.randn(pictures, channels, side, side, generator=generator)
    return torch.rand(pictures, 3, side * factor, side * factor, generator=generator) * 2 - 1, z


def memory(vae: Any, resolutions: list[int], batches: list[int], generator: torch.Generator) -> Iterator[Row]:
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
    found = peak_bytes(run, weights)
    held = sum(tensor.untyped_storage().nbytes() for tensor in weights)
    metrics: dict[str, float] = {"peak_bytes": found["peak"], "with_weights": found["peak"] + held}
    if kind.family == "gradient" and kind.form != "checkpointed":
        metrics["saved_bytes"] = found["saved"]
    if resident is not None:
        metrics["resident_bytes"] = resident
    return metrics


def _compared(name: str, counted: dict[str, dict[str, float]]) -> dict[str, float]:
    """Ratios to the gradient method, of the same precision and of float32."""
    equal = {"bf16": "gradient-bf16", "fp32": "gradient"}[KINDS[name].precision]
    found = {}
    for metric, word in (("peak_bytes", ""), ("with_weights", "_whole")):
        mine = counted[name][metric]
        if mine:
            found[f"equal_ratio{word}"] = counted[equal][metric] / mine
            found[f"mixed_ratio{word}"] = counted["gradient"][metric] / mine
            found[f"mixed_saving{word}"] = 1 - mine / counted["gradient"][metric]
    return found
