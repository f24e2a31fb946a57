"""Decoder inversion for users of any latent-diffusion pipeline, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.decoder_inversion import at_once
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.frames import frames_that_fit
from deqbench.decoder_inversion.inverters import inverters
from deqbench.decoder_inversion.inverting import run
from deqbench.errors import UserError, unknown
from deqbench.measure.progress import steps_bar
from deqbench.solvers.rounds import Stop

Bits = Literal[32, 16, "bf16"]
PRECISIONS: dict[Any, Any] = {32: "fp32", 16: "fp16", "bf16": "bf16"}
ITERATIONS = 20


@dataclass(frozen=True)
class DecoderInversionResult:
    """The latents behind B images, and what they took."""

    latents: Tensor  # (B, c, h, w) float32, or (B, F, c, h, w), scaled: what a pipeline's denoising loop ends with
    residuals: Tensor  # (n + 1, B) float64, ||E(D(z)) - E(x)|| / ||E(x)|| by iteration; NaN where not looked at
    seconds: Tensor  # (n + 1,) float64, since the start, until each iterate was at hand
    iterations: Tensor  # (B,) int64, the iterate returned
    stop: tuple[Stop, ...]  # B reasons: converged, max_iter, max_seconds, diverged


def invert_decoder(
    vae: Any,
    images: Any,
    method: str = "ours",
    bits: Bits = 32,
    max_seconds: float | None = None,
    *,
    iterations: int = ITERATIONS,
    tol: float = 0.0,
    keep: Literal["last", "best"] = "last",
    options: dict[str, Any] | None = None,
    max_batch: int | None = None,
    max_bytes: float | None = None,
    progress: bool = True,
) -> DecoderInversionResult:
    """The latents z with D(z) = images, for a decoder D of diffusers.

    vae: an AutoencoderKL or AutoencoderTiny, such as `pipe.vae`, or the folder of one. images: (B, 3, H, W) in [-1, 1],
    frames (B, F, 3, H, W), or a list of PIL images of one size. method: ours, forward, inertial, adam, anderson,
    gradient or encoder, with its settings in `options`. bits: of the network; latents are kept in 32. tol: an image
    stops at this relative residual. keep "best": the iterate of the least residual, evaluated in 32 bit, so that half
    precision never ends worse than it began. max_batch: pictures passed through the network at once (None: 8 on a
    CPU, 64 elsewhere), max_bytes: and no more than an iteration takes within so many bytes of tensors, weights and what
    the method itself keeps apart.

    UserError: an argument that is none of these, or bytes that not one picture fits.
    """
    if method not in inverters():
        raise unknown("method", method, inverters())
    if bits not in PRECISIONS:
        raise UserError(f"bits: expected one of 32, 16, 'bf16'; found {bits!r}")
    vae = _loaded(vae)
    x = _pictures(images).to(next(vae.parameters()).device)
    max_batch = at_once(x.device.type) if max_batch is None else max_batch
    if max_bytes is not None:
        whole = Codec(vae, "fp32")  # residuals are evaluated in 32 bit whatever the method's are
        max_batch = min(max_batch, frames_that_fit(whole, x.flatten(0, -4), max_bytes, gradient=method == "gradient"))
    codec = Codec(vae, PRECISIONS[bits], max_batch=max_batch)
    reference = codec if codec.exact else Codec(vae, "fp32", max_batch=max_batch)
    bar = steps_bar(f"decoder inversion, {method}", iterations) if progress else nullcontext()
    with bar as on_progress:
        try:
            inversion = run(
                method, codec, x, options or {}, iterations, tol=tol, max_seconds=max_seconds, keep=keep,
                reference=reference, on_progress=on_progress,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(str(error)) from error
    return DecoderInversionResult(
        inversion.z, inversion.residuals, inversion.seconds, inversion.iterations, inversion.stopped
    )


def _loaded(vae: Any) -> Any:
    if isinstance(vae, (str, Path)):
        from deqbench.data import autoencoders

        return autoencoders.load(Path(vae))
    if not (hasattr(vae, "encode") and hasattr(vae, "decode") and hasattr(vae, "config")):
        raise UserError(f"vae: expected an autoencoder of diffusers or the folder of one; found {type(vae).__name__}")
    return vae.eval()


def _pictures(images: Any) -> Tensor:
    """(B, 3, H, W) or (B, F, 3, H, W) float32 in [-1, 1]."""
    if isinstance(images, Sequence) and len(images) and not isinstance(images, str):
        import numpy as np

        arrays = [np.asarray(image.convert("RGB")) for image in images if hasattr(image, "convert")]
        if len(arrays) == len(images) and len({array.shape for array in arrays}) == 1:
            stacked = torch.from_numpy(np.stack(arrays))  # (B, H, W, 3) uint8
            return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1
    shaped = isinstance(images, Tensor) and images.dim() in (4, 5) and images.shape[-3] == 3 and len(images)
    if not shaped or not images.is_floating_point():
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise UserError(
            f"images: expected floats (B, 3, H, W) or (B, F, 3, H, W), or PIL images of one size; found {given}"
        )
    return images.detach().float()
