"""Pixel gradients and gradient-free iterates in 16 bits. Source: figure 3's caption, section 4, table S1."""

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec, decibel, nmse
from deqbench.decoder_inversion.inverters import Iterate, invert
from deqbench.experiments.decoder_inversion.iterates.config import PixelGradient
from deqbench.experiments.decoder_inversion.methods import codec_of
from deqbench.experiments.decoder_inversion.shared import Inverter
from deqbench.experiments.rows import Row, of_images
from deqbench.measure.clock import in_turns


def pixel_gradient(codec: Codec, x: Tensor, z: Tensor, *, mean: bool, scale: float) -> tuple[Tensor, Tensor]:
    """The gradient of `scale` times the squared pixel error with respect to z (B, c, h, w), and with respect to D(z).

    Both as they come out, of the codec's state dtype and still scaled; nothing is widened on the way but what the codec
    widens itself. mean: the error is averaged over an image's values instead of summed.
    """
    with torch.enable_grad():
        leaf = z.detach().to(codec.state).requires_grad_()
        decoded = codec.decode(leaf)
        squared = (decoded - x.to(codec.state)).square().flatten(1)
        loss = (squared.mean(1) if mean else squared.sum(1)).sum() * scale
        gradient, pixels = torch.autograd.grad(loss, (leaf, decoded))
    return gradient, pixels


def gradients(
    vae: Any, x: Tensor, z: Tensor, variants: dict[str, PixelGradient], *, updates: int, lr: float, max_batch: int
) -> Iterator[Row]:
    """Rows image, method, metric, value of every variant beside the exact gradient, of float32 and the summed error.

    x (B, 3, H, W), z (B, c, h, w). zero_share and nonfinite_share: of the entries of the gradient with respect to z
    (pixel_zero_share: to D(z)); cosine to the exact one, 0 where the gradient is zero, NaN where it is not finite;
    loss_left and falls: after `updates` of Adam by it, from z, the summed error in float32 over that at z, and whether
    it is smaller.
    """
    wide = Codec(vae, max_batch=max_batch)
    exact = pixel_gradient(wide, x, z, mean=False, scale=1.0)[0].double().flatten(1)
    for name, variant in variants.items():
        codec = Codec(vae, variant.precision, state=variant.state, max_batch=max_batch)
        taken = pixel_gradient(codec, x, z, mean=variant.mean, scale=variant.scale)
        gradient, pixels = (part.flatten(1) for part in taken)
        moved = _descended(codec, x, z, updates=updates, lr=lr, mean=variant.mean, scale=variant.scale)
        left = _error(wide, x, moved) / _error(wide, x, z)
        metrics = {
            "zero_share": (gradient == 0).double().mean(1),
            "pixel_zero_share": (pixels == 0).double().mean(1),
            "nonfinite_share": (~gradient.isfinite()).double().mean(1),
            "cosine": torch.nn.functional.cosine_similarity(gradient.double(), exact),
            "loss_left": left,
            "falls": (left < 1).double(),
        }
        yield from of_images(metrics, method=name)


def _descended(codec: Codec, x: Tensor, z: Tensor, *, updates: int, lr: float, mean: bool, scale: float) -> Tensor:
    """z after some updates of Adam, whose state is of the codec's state dtype; the loss scale is taken off before."""
    moved = z.detach().to(codec.state).clone().requires_grad_()
    adam = torch.optim.Adam([moved], lr=lr)
    for _ in range(updates):
        gradient, _ = pixel_gradient(codec, x, moved, mean=mean, scale=scale)
        moved.grad = gradient / scale
        adam.step()
    return moved.detach().float()


@torch.no_grad()
def _error(codec: Codec, x: Tensor, z: Tensor) -> Tensor:
    return (codec.decode(z) - x).double().square().flatten(1).sum(1)  # (B,)


@torch.no_grad()
def drift(
    vae: Any,
    x: Tensor,
    z_true: Tensor,
    methods: dict[str, Inverter],
    *,
    iterations: int,
    at: list[int],
    generator: torch.Generator,
    max_batch: int,
) -> Iterator[Row]:
    """Rows method, iteration, image, metric, value: `nmse_db` of every iterate from E(x), `residual_left` at some.

    methods: by name, their options whole. residual_left: ||E(D(z)) - E(x)|| in float32 over that at the start, at
    the iterations `at` only, for it costs an evaluation.
    """
    wide = Codec(vae, max_batch=max_batch)
    encoded = wide.encode(x)
    first = (wide.encode_decode(encoded) - encoded).flatten(1).norm(dim=1)
    for name, method in methods.items():
        codec = codec_of(vae, method, generator, max_batch)
        kept: list[Tensor] = []
        keep = partial(_keep, kept)
        invert(method.inverter, codec, x, codec.encode(x), method.options, iterations=iterations, on_iterate=keep)
        for iteration, z in enumerate(kept):
            metrics = {"nmse_db": decibel(nmse(z, z_true))}
            if iteration in at:
                metrics["residual_left"] = (wide.encode_decode(z) - encoded).flatten(1).norm(dim=1) / first
            yield from of_images(metrics, {"nmse_db": "dB"}, method=name, iterations=iteration)


def _keep(kept: list[Tensor], step: Iterate) -> None:
    kept.append(step.z.detach().float().clone())


@torch.no_grad()
def seconds(vae: Any, z: Tensor, precisions: list[str], repeats: int) -> Iterator[Row]:
    """Rows method, image, metric, value: `pass_ratio`, seconds of E(D(z)) over those in float32, taken in turns.

    method: the precision; image: the number of the turn, after one that does not count.
    """
    codecs = {name: Codec(vae, name) for name in dict.fromkeys(["fp32", *precisions])}  # type: ignore[arg-type]
    spent = in_turns({name: partial(codec.encode_decode, z) for name, codec in codecs.items()}, repeats)
    base = median(spent["fp32"])
    for name in precisions:
        yield from of_images({"pass_ratio": [value / base for value in spent[name]]}, method=name)
