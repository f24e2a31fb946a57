"""DEQDDIMPipeline.invert: latents from which DDIM draws given images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.utils import BaseOutput
from torch import Tensor

from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import Inversion, Update, encode, reconstruct
from deqbench.diffusion.inverters import FAMILY, invert
from deqbench.diffusion.network import NoisePredictor
from deqbench.errors import UserError, unknown

if TYPE_CHECKING:
    from deqbench.diffusion.chain import DDIMChain
    from deqbench.diffusion.pipeline import DEQDDIMPipeline

Start = Literal["noise", "encoding"]
OnUpdateEnd = Callable[["DEQDDIMPipeline", int, dict[str, Tensor]], object]
LIMITS = ("threshold", "tol")  # what inverters call the loss at which they stop
LENGTHS = ("epochs", "max_iter")  # and the most updates they make


@dataclass
class DEQDDIMInversionOutput(BaseOutput):
    """The latents of one call, B of them, and what each took."""

    latents: Tensor  # (B, C, H, W), x_T
    losses: Tensor  # (B,) float64, squared distance of the reconstruction from the image, summed over its values
    reconstructions: Tensor  # (B, C, H, W) in about [-1, 1], by the sequential chain from the latents
    noise: Tensor | None  # (B, N, C, H, W), of the steps where eta > 0
    steps: Sequence[int]  # B numbers of updates: epochs of descents, rounds of solvers
    nfe: Sequence[int]  # B numbers of network evaluations
    vjps: Sequence[int]  # B numbers of vector-Jacobian products of the network
    stopped: Sequence[str]  # B words: converged, max_iter, diverged, interrupted, max_seconds


@torch.no_grad()
def invert_images(
    pipe: DEQDDIMPipeline,
    images: PipelineImageInput,
    num_inference_steps: int = 50,
    generator: torch.Generator | list[torch.Generator] | None = None,
    eta: float = 0.0,
    *,
    method: str | None = None,
    gradient: str | None = None,
    method_options: dict[str, Any] | None = None,
    start: Start = "noise",
    threshold: float | None = None,
    max_seconds: float | None = None,
    max_batch: int = 256,
    callback_on_update_end: OnUpdateEnd | None = None,
) -> DEQDDIMInversionOutput:
    """Latents x_T from which this pipeline draws `images`: `pipe(latents=inversion.latents, ...)` gives them again.

    images: PIL images, arrays (B, H, W, C) in [0, 1], or a tensor (B, C, H, W) in [-1, 1]. generator: one, or one an
    image; it draws the starts and then, where eta > 0, the steps' noises: a call that is to draw the images again needs
    a generator of the same seed from which x_T has been drawn once. method: a file in deqbench/diffusion/inverters,
    `sweeps` unless a gradient is named (a file in deqbench/diffusion/gradients), which is descended by Adam.
    method_options: the method's own settings. start: what x_T starts from, drawn noise or the DDIM encoding of the
    image. threshold: the loss at which an image may stop, for methods that know one. max_seconds: the update under way
    when they are over is the last. max_batch: images in one call of the network.

    callback_on_update_end(pipe, update, {"latents": (B, C, H, W)}) is called after each update, from 0; the latents
    are lent. It may set pipe._interrupt, as in a call of the pipeline.

    Source: DEQ-DDIM, section 4. UserError: a value out of range, an unknown name, images of another shape, or a
    scheduler whose chain cannot be inverted: one that clips or thresholds x_0, or that starts at alpha_bar 0.
    """
    name = method or ("sweeps" if gradient is None else "descent")
    options = _options(name, gradient, start, threshold, method_options or {})
    pipe._interrupt = False
    target = _target(pipe, images)
    chain = _chain(pipe, target, num_inference_steps, generator, eta, max_batch)
    target = target.to(chain.x_T)
    before = 0
    if start == "encoding":
        chain, before = replace(chain, x_T=encode(chain, target)), chain.steps
    inversion = _run(pipe, name, chain, target, options, max_seconds, callback_on_update_end)
    x0 = reconstruct(chain, inversion.x_T)
    pipe.maybe_free_model_hooks()
    return DEQDDIMInversionOutput(
        latents=inversion.x_T,
        losses=loss(x0, target),
        reconstructions=x0,
        noise=chain.noise,
        steps=inversion.rounds.tolist(),
        nfe=(inversion.nfe + before).tolist(),
        vjps=inversion.vjps.tolist(),
        stopped=inversion.stopped,
    )


def _options(
    name: str, gradient: str | None, start: Start, threshold: float | None, options: dict[str, Any]
) -> dict[str, Any]:
    """The inverter's own settings. UserError: unknown inverter or start, or a threshold that it does not know."""
    if start not in get_args(Start):
        raise unknown("start", start, get_args(Start))
    known = FAMILY.method(name).card.options
    given: dict[str, Any] = {} if gradient is None else {"gradient": gradient}
    if threshold is not None:
        limit = None if "solver" in known else next((limit for limit in LIMITS if limit in known), None)
        if limit is None:  # the tol of those with a solver is a residual, not a loss
            raise UserError(f"threshold: expected None for {name}, which looks at no loss; found {threshold}")
        given[limit] = threshold
    if start == "encoding" and name in ("sweeps", "joint-backward"):
        given["first"] = "trajectory"
    return {**given, **options}


def _target(pipe: DEQDDIMPipeline, images: PipelineImageInput) -> Tensor:
    """(B, C, H, W) in [-1, 1]. UserError: not of the network's shape."""
    config = pipe.unet.config
    if isinstance(images, Tensor):
        target = images
    else:
        processor = VaeImageProcessor(
            do_resize=False,
            vae_scale_factor=1,
            do_convert_rgb=config.in_channels == 3,
            do_convert_grayscale=config.in_channels == 1,
        )
        target = processor.preprocess(images)
    size = config.sample_size
    shape = (config.in_channels, *((size, size) if isinstance(size, int) else size or target.shape[2:]))
    if target.ndim != 4 or tuple(target.shape[1:]) != shape:
        raise UserError(f"images: expected shape (B, {', '.join(map(str, shape))}); found {tuple(target.shape)}")
    return target


def _chain(pipe: DEQDDIMPipeline, target: Tensor, steps: int, generator: Any, eta: float, max_batch: int) -> DDIMChain:
    """The scheduler's chain from drawn starts. UserError: it cannot be inverted."""
    config = pipe.scheduler.config
    for key in ("clip_sample", "thresholding"):
        if config.get(key):
            raise UserError(f"scheduler: {key}: expected False, since a clipped x_0 cannot be inverted; found True")
    tau = pipe._timesteps(steps)
    if pipe.scheduler.alphas_cumprod[tau[0]] == 0:
        raise UserError(
            "scheduler: rescale_betas_zero_snr: expected an alpha_bar above 0 at the first timestep, since a step "
            f"from pure noise cannot be inverted; found 0 at {int(tau[0])}"
        )
    kind = config.prediction_type
    predictor = NoisePredictor(pipe._network, pipe.scheduler.alphas_cumprod.double(), kind, max_batch)
    x_T, noise = pipe._draw(tuple(target.shape), len(tau), generator, None, eta)
    return pipe._chain(predictor, tau, x_T, noise, eta, False)[0]


def _run(
    pipe: DEQDDIMPipeline,
    name: str,
    chain: DDIMChain,
    target: Tensor,
    options: dict[str, Any],
    max_seconds: float | None,
    callback: OnUpdateEnd | None,
) -> Inversion:
    """The latents that the inverter reaches, or had reached when it was ended."""
    known = FAMILY.method(name).card.options
    length = next((options.get(key, known[key]["default"]) for key in LENGTHS if key in known), chain.steps)
    with pipe.progress_bar(total=length) as bar:

        def tell(update: Update) -> bool:
            bar.update(update.number - bar.n)
            if update.number and callback is not None:
                callback(pipe, update.number - 1, {"latents": update.x_T})
            return pipe.interrupt

        return invert(name, chain, target, options, tell, max_seconds)
