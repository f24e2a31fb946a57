"""DDIM sampling in parallel behind the interface of diffusers' DDIMPipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain, EpsModel
from deqbench.diffusion.network import NoisePredictor, Prediction
from deqbench.diffusion.parallel import DistributedPredictor
from deqbench.diffusion.pipeline_invert import invert_images
from deqbench.diffusion.sampled import Round, Sampled
from deqbench.diffusion.samplers import FAMILY, sample
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError, unknown

DEFAULT_SAMPLER = "secant"

OutputType = Literal["pil", "np", "pt"]
Generators = torch.Generator | list[torch.Generator] | None
OnStepEnd = Callable[["DEQDDIMPipeline", int, int, dict[str, Tensor]], object]


@dataclass
class DEQDDIMPipelineOutput(ImagePipelineOutput):
    """The images of one call, B of them, and what each took."""

    rounds: Sequence[int]  # B numbers of batched network calls
    nfe: Sequence[int]  # B numbers of network evaluations
    stopped: Sequence[str]  # B words: converged, max_iter, diverged, interrupted


class DEQDDIMPipeline(DiffusionPipeline):
    """Image generation by DDIM with all steps of the chain solved jointly: the images of diffusers' DDIMPipeline.

    unet: any UNet2DModel. scheduler: any whose config DDIMScheduler takes; it steps exactly as DDIMScheduler would,
    with its beta schedule, timestep spacing and offset, prediction type, clipping or thresholding of x_0. Loading,
    saving and moving are diffusers' own; a folder that DDIMPipeline saved loads here, and the other way round.

        pipe = DEQDDIMPipeline.from_pretrained("google/ddpm-cifar10-32").to("cuda")
        image = pipe(num_inference_steps=100, generator=torch.Generator().manual_seed(0)).images[0]

    Source: DEQ-DDIM, section 3.1; ParaDiGMS, algorithm 1, for the default sampler.
    """

    model_cpu_offload_seq = "unet"

    def __init__(self, unet: UNet2DModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self._interrupt = False
        self.register_modules(unet=unet, scheduler=DDIMScheduler.from_config(scheduler.config))

    @property
    def interrupt(self) -> bool:
        """Whether the call ends after the present round: a callback sets `_interrupt`, as in diffusers' pipelines."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        generator: Generators = None,
        eta: float = 0.0,
        num_inference_steps: int = 50,
        use_clipped_model_output: bool | None = None,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        *,
        latents: Tensor | None = None,
        sampler: str = DEFAULT_SAMPLER,
        sampler_options: dict[str, Any] | None = None,
        max_batch: int = 256,
        distributed: bool = False,
        callback_on_step_end: OnStepEnd | None = None,
    ) -> DEQDDIMPipelineOutput | tuple:
        """`batch_size` images of (C, H, W), as a list of PIL images, an array (B, H, W, C) or a tensor (B, C, H, W).

        The arguments before the star are DDIMPipeline's, and equal seeds give its images up to the sampler's tolerance:
        with eta > 0 the steps' noises are drawn beforehand, in the same order. generator: one, or one an image.

        latents: (B, C, H, W), x_T instead of a drawn one. sampler: a file in deqbench/diffusion/samplers, with
        sampler_options as its own settings; with clip_sample or thresholding, one that solves the chain's own steps,
        no rival of other steps. max_batch: images in one call of the network, for limited memory.
        distributed: split the evaluations of each round over all ranks of torch.distributed, every one of which must
        make this same call.

        callback_on_step_end(pipe, round, timestep, {"latents": (B, C, H, W)}) is called after each *round*, from 0,
        not each step: all steps advance together. The latents are the present estimate of x_0, so the timestep is
        always the chain's last; they are lent, and what the callback returns is ignored. The progress bar also counts
        rounds, of at most `num_inference_steps` for the default sampler.

        A plain tuple (images,) where return_dict is False. UserError: a value out of range, an unknown name, or a
        scheduler that cannot be stepped so.
        """
        if output_type not in get_args(OutputType):
            raise unknown("output_type", output_type, get_args(OutputType))
        if distributed and (generator is None and (latents is None or eta > 0)):
            raise UserError(
                "generator: expected one, seeded alike on every rank, where distributed is True; found None"
            )
        self._interrupt = False
        kind = self.scheduler.config.prediction_type
        if kind not in get_args(Prediction):
            raise unknown("scheduler: prediction_type", kind, get_args(Prediction))
        tau = self._timesteps(num_inference_steps)
        x_T, noise = self._draw(self._shape(batch_size, latents), len(tau), generator, latents, eta)
        predictor: EpsModel = NoisePredictor(self._network, self.scheduler.alphas_cumprod.double(), kind, max_batch)
        if distributed:
            predictor = DistributedPredictor(predictor)
        chain, before = self._chain(predictor, tau, x_T, noise, eta, bool(use_clipped_model_output))
        drawn = self._solve(chain, sampler, sampler_options or {}, callback_on_step_end)
        images = _images(drawn.x0, output_type)
        self.maybe_free_model_hooks()
        if not return_dict:
            return (images,)
        rounds, nfe = (drawn.rounds + before).tolist(), (drawn.nfe + before).tolist()
        return DEQDDIMPipelineOutput(images, rounds, nfe, drawn.stopped)

    invert = invert_images

    def _timesteps(self, steps: int) -> Tensor:
        """(N,) int64 descending: those of the scheduler, which is set to them. UserError: it has none for that N."""
        train_steps = self.scheduler.config.num_train_timesteps
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= train_steps:
            raise UserError(f"num_inference_steps: expected a whole number from 1 to {train_steps}; found {steps!r}")
        self.scheduler.set_timesteps(steps)
        tau = self.scheduler.timesteps.cpu()
        if tau[0] >= train_steps or tau[-1] < 0:
            spacing = f"timestep_spacing {self.scheduler.config.timestep_spacing}"
            raise UserError(
                f"num_inference_steps: expected a number for which diffusers' {spacing} stays within 0 to "
                f"{train_steps - 1}; found {steps}, with timesteps from {int(tau[-1])} to {int(tau[0])}"
            )
        return tau

    def _shape(self, batch_size: int, latents: Tensor | None) -> tuple[int, ...]:
        """(B, C, H, W) of the network's config. UserError: latents of another shape, or no size to go by."""
        size = self.unet.config.sample_size
        if size is None and latents is None:
            raise UserError("latents: expected a tensor, since the network's config has no sample_size; found None")
        if size is None and latents is not None:
            size = latents.shape[2:]
        size = (size, size) if isinstance(size, int) else size
        shape = (batch_size, self.unet.config.in_channels, *size)
        if latents is not None and tuple(latents.shape) != shape:
            raise UserError(f"latents: expected shape {shape} (B, C, H, W); found {tuple(latents.shape)}")
        return shape

    def _draw(
        self, shape: tuple[int, ...], steps: int, generator: Generators, latents: Tensor | None, eta: float
    ) -> tuple[Tensor, Tensor | None]:
        """x_T (B, C, H, W) and, for eta > 0, the noises (B, N, C, H, W), drawn in DDIMPipeline's order and dtype."""
        if isinstance(generator, list) and len(generator) != shape[0]:
            raise UserError(f"generator: expected one, or a list of {shape[0]}, one an image; found {len(generator)}")
        device, dtype = self._execution_device, self.unet.dtype

        def draw() -> Tensor:
            return randn_tensor(shape, generator=generator, device=device, dtype=dtype)

        x_T = draw() if latents is None else latents.to(device)
        noise = torch.stack([draw() for _ in range(steps)], 1) if eta > 0 else None
        states = torch.float64 if dtype == torch.float64 else torch.float32  # also for networks in half precision
        return x_T.to(states), None if noise is None else noise.to(states)

    def _network(self, x: Tensor, t: Tensor) -> Tensor:
        return self.unet(x.to(self.unet.dtype), t, return_dict=False)[0].to(x.dtype)

    def _chain(
        self, predictor: EpsModel, tau: Tensor, x_T: Tensor, noise: Tensor | None, eta: float, derived: bool
    ) -> tuple[DDIMChain, int]:
        """The scheduler's chain, and how many of its steps, 0 or 1, were walked before it begins."""
        config, schedule, before = self.scheduler.config, Schedule.of(self.scheduler), 0
        if schedule.alpha_bar[tau[0]] == 0:
            x_T = self._leave_pure_noise(tau, x_T, noise, eta, derived)
            tau, noise, before = tau[1:], None if noise is None else noise[:, 1:], 1
        stride = config.num_train_timesteps // self.scheduler.num_inference_steps
        chain = DDIMChain.strided(predictor, schedule, tau, stride, x_T, eta=eta, noise=noise)
        if config.clip_sample or config.thresholding:
            chain = _clipped(chain, schedule, _bound(config), derived)
        return chain, before

    def _leave_pure_noise(self, tau: Tensor, x_T: Tensor, noise: Tensor | None, eta: float, derived: bool) -> Tensor:
        """The state after a first step from alpha_bar = 0, which is no multiple of x plus a multiple of eps."""
        if self.scheduler.config.prediction_type == "epsilon":
            raise UserError(
                "scheduler: prediction_type: expected v_prediction or sample where alpha_bar_T is 0 "
                "(rescale_betas_zero_snr), since eps tells nothing of the image there; found epsilon"
            )
        if len(tau) == 1:
            raise UserError("num_inference_steps: expected at least 2 where alpha_bar_T is 0; found 1")
        out = self._network(x_T, tau[:1].expand(len(x_T)).to(x_T.device))
        drawn = None if noise is None else noise[:, 0]
        options = {"eta": eta, "use_clipped_model_output": derived, "variance_noise": drawn}
        return self.scheduler.step(out, tau[0], x_T, **options).prev_sample

    def _solve(self, chain: DDIMChain, sampler: str, options: dict[str, Any], callback: OnStepEnd | None) -> Sampled:
        """The images that the sampler makes of the chain, or those reached when it was interrupted."""
        if self.scheduler.config.clip_sample or self.scheduler.config.thresholding:
            FAMILY.method(sampler).refuse("clip_sample")
        latents, last = chain.x_T.clone(), int(chain.timesteps[-1])
        with self.progress_bar(total=chain.steps) as bar:

            def tell(reached: Round) -> bool:
                latents[reached.samples.to(latents.device)] = reached.x0
                bar.update()
                if callback is not None:
                    callback(self, reached.number - 1, last, {"latents": latents})
                return self.interrupt

            return sample(sampler, chain, options, tell)


def _bound(config: Any) -> Callable[[Tensor], Tensor]:
    """The bound that the scheduler's config puts on estimates of x_0, (M, *dims). Thresholds: Imagen, section 2.3."""

    def threshold(x0: Tensor) -> Tensor:
        share = config.dynamic_thresholding_ratio
        top = torch.stack([image.abs().quantile(share) for image in x0])  # all at once may be more than quantile takes
        top = top.clamp(1, config.sample_max_value).view(-1, *[1] * (x0.ndim - 1))
        return x0.clamp(-top, top) / top

    if config.thresholding:
        return threshold
    return lambda x0: x0.clamp(-config.clip_sample_range, config.clip_sample_range)


def _clipped(chain: DDIMChain, schedule: Schedule, bound: Callable[[Tensor], Tensor], derived: bool) -> DDIMChain:
    """The chain whose steps use bound(x_0) for the network's estimate of x_0, and for its eps too if `derived`.

    Such a step is the plain one of another noise prediction, eps + k (bound(x_0) - x_0) with one k a timestep, so that
    every sampler serves. UserError: a step that gives eps no weight.
    """
    if not chain.scale.all():
        raise UserError(
            "scheduler: set_alpha_to_one: expected True with clip_sample or thresholding: the last step would else "
            "clip x_0 and give eps no weight; found False"
        )
    here = chain.alpha_bar[:-1]
    k = torch.zeros_like(schedule.alpha_bar)
    k[chain.timesteps] = -(here / (1 - here)).sqrt() if derived else chain.after.sqrt() / chain.scale

    def eps_model(x: Tensor, t: Tensor) -> Tensor:
        eps = chain.eps_model(x, t)
        a, scale = (table.to(x)[t].view(-1, *[1] * (x.ndim - 1)) for table in (schedule.alpha_bar, k))
        x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
        return eps + scale * (bound(x0) - x0)

    return replace(chain, eps_model=eps_model)


def _images(x0: Tensor, output_type: OutputType) -> Any:
    """(B, C, H, W) in [-1, 1] -> images in [0, 1], in the form of that name."""
    images = (x0 / 2 + 0.5).clamp(0, 1)
    if output_type == "pt":
        return images
    array = images.permute(0, 2, 3, 1).numpy(force=True)
    return DiffusionPipeline.numpy_to_pil(array) if output_type == "pil" else array
