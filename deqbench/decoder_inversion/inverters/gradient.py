"""Gradient-based inversion: the squared pixel error of D(z), lowered by Adam or L-BFGS. Source: Eq. 3, appendix A.2."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, Positive
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate
from deqbench.decoder_inversion.schedules import Schedule, rates


def invert(
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    *,
    iterations: int,
    optimizer: Literal["adam", "lbfgs"] = "adam",
    lr: Positive = 0.1,
    schedule: Schedule = "fixed",
    hold_after: Count | None = None,
    m: Count = 10,
    checkpointing: bool = False,
    tiling: Count | None = None,
    loss_scale: Positive = 1.0,
) -> Iterator[Iterate]:
    """The iterates of `iterations` steps down the summed squared error.

    optimizer: adam, or lbfgs, which keeps m pairs for each image by itself and searches its line by the strong Wolfe
    rules, so that a step may take several gradients. checkpointing: the decoder's blocks are evaluated again in the
    backward pass instead of kept. tiling: D and E work on overlapping tiles of so many pixels. loss_scale: the loss is
    multiplied by it before the backward pass and the gradient divided after it, which keeps float16 from underflow.
    """
    with saving(codec, checkpointing, tiling):
        with torch.no_grad():
            z = codec.encode(x).clone() if z is None else z.detach().to(codec.state).clone()
        if optimizer == "lbfgs":
            yield from _lbfgs(codec, x, z, iterations, lr, m)
        else:
            yield from _adam(codec, x, z, rates(lr, schedule, iterations, hold_after), loss_scale)


def pixel_gradient(codec: Codec, x: Tensor, z: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """(B,) float32, the squared error of D(z) summed over pixels, and its gradient at z, (B, c, h, w) in z's dtype.

    Frames (B, F, c, h, w) alike. scale: the loss is multiplied by it on its way back; the gradient is as without it. No
    more than the codec's `max_batch` pictures are in one graph.
    """
    parts = zip(z.detach().flatten(0, -4).split(codec.max_batch), x.flatten(0, -4).split(codec.max_batch), strict=True)
    losses, gradients = zip(*(_gradient_of(codec, image, part, scale) for part, image in parts), strict=True)
    gradient = torch.cat(gradients).view(z.shape)
    loss = torch.cat(losses).view(len(z), -1).sum(1)
    return loss, gradient if scale == 1 else gradient / scale


def _gradient_of(codec: Codec, x: Tensor, z: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf = z.requires_grad_()
        loss = (codec.decode(leaf).float() - x.float()).square().flatten(1).sum(1)
        (gradient,) = torch.autograd.grad(loss.sum() * scale, leaf)
    return loss.detach(), gradient.contiguous()  # the decoder may leave it in another memory format


def _adam(codec: Codec, x: Tensor, z: Tensor, planned: list[float], loss_scale: float) -> Iterator[Iterate]:
    adam = torch.optim.Adam([z], lr=1.0)
    for rate in planned:
        loss, z.grad = pixel_gradient(codec, x, z, loss_scale)
        yield Iterate(z=z, loss=loss)
        adam.param_groups[0]["lr"] = rate
        adam.step()
    yield Iterate(z=z)


class Line:
    """One image's descent, with an optimiser of its own."""

    def __init__(self, codec: Codec, x: Tensor, z: Tensor, lr: float, m: int) -> None:
        self.codec, self.x, self.z = codec, x, z.clone()
        # max_eval bounds a line search too, and its default for one step would end it at its first point
        self.optimizer = torch.optim.LBFGS(
            [self.z], lr=lr, max_iter=1, max_eval=25, history_size=m, line_search_fn="strong_wolfe"
        )
        self.loss, self.stopped = torch.full((1,), float("nan")), False

    def _closure(self) -> Tensor:
        loss, self.z.grad = pixel_gradient(self.codec, self.x, self.z)
        return loss[0]

    def advance(self) -> None:
        """One step with its line search; it stays where no better point is found, or where nothing is finite."""
        before = self.z.clone()
        first = self.optimizer.step(self._closure)  # type: ignore[arg-type]
        self.stopped = not torch.isfinite(torch.as_tensor(first)) or torch.equal(before, self.z)


def _lbfgs(codec: Codec, x: Tensor, z: Tensor, iterations: int, lr: float, m: int) -> Iterator[Iterate]:
    lines = [Line(codec, x[i : i + 1], z[i : i + 1], lr, m) for i in range(len(z))]
    yield Iterate(z=z)
    for _ in range(iterations):
        for line in lines:
            if not line.stopped:
                line.advance()
        yield Iterate(z=torch.cat([line.z for line in lines]) if lines else z)


@contextmanager
def saving(codec: Codec, checkpointing: bool, tiling: int | None) -> Iterator[None]:
    """The autoencoder with diffusers' checkpoints and tiles switched on inside the block."""
    if tiling is None and not checkpointing:
        yield
        return
    vae = codec.vae
    sizes = ("tile_sample_min_size", "tile_latent_min_size", "use_tiling")
    kept = {name: getattr(vae, name) for name in sizes if hasattr(vae, name)}
    if tiling is not None:
        if not kept:
            raise ValueError(f"tiling: expected an autoencoder with tiles; found {type(vae).__name__}")
        factor = vae.tile_sample_min_size // vae.tile_latent_min_size
        vae.enable_tiling()
        vae.tile_sample_min_size, vae.tile_latent_min_size = tiling, max(1, tiling // factor)
    if checkpointing:
        vae.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if checkpointing:
            vae.disable_gradient_checkpointing()
        for name, value in kept.items():
            setattr(vae, name, value)
