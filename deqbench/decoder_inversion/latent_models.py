"""Latents from noise: a class-conditional diffusion model with guidance, or a generator of one call."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deqbench.data.checkpoints import Network
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.network import NoisePredictor
from deqbench.errors import UserError

LAST = 999  # the timestep that the network is told, that of pure noise in a chain of 1,000
GRID = "uniform-released"  # the timesteps of diffusers' `leading` spacing


def classes(network: Network) -> int:
    """The classes of a network, the last of which stands for no condition; 0 where it knows none."""
    config: Any = network.net.config
    return int(config["num_class_embeds"] or 0)


def generated(net: nn.Module, x_T: Tensor, labels: Tensor) -> Tensor:
    """z_0 = x_T - v(x_T, 999, class) in one call. x_T: (B, C, h, w); labels: (B,)."""
    v: Tensor = net(x_T, torch.full_like(labels, LAST), labels).sample
    return x_T - v.float()


@dataclass(frozen=True)
class GuidedEps:
    """eps(x, t) of B labelled samples with classifier-free guidance: eps_null + guidance (eps_class - eps_null).

    The network's last class stands for no condition. Guidance 1 and 0 ask for one evaluation a sample, others for two.
    """

    network: Network
    labels: Tensor  # (B,) int64
    guidance: float = 1.0
    max_batch: int = 256

    def __post_init__(self) -> None:
        if not classes(self.network):
            raise UserError("denoiser: expected a network with classes, num_class_embeds; found one without")

    def select(self, indices: Tensor) -> "GuidedEps":
        """The same for those samples."""
        return replace(self, labels=self.labels[indices])

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (B, c, h, w) at timesteps t: (B,) int64 -> predicted noise, (B, c, h, w)."""
        parts = zip(*(part.split(self.max_batch) for part in (x, t, self.labels)), strict=True)
        return torch.cat([self._guided(*part) for part in parts])

    def _guided(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        if self.guidance == 1:
            return self._predict(x, t, labels)
        null = torch.full_like(labels, classes(self.network) - 1)
        if self.guidance == 0:
            return self._predict(x, t, null)
        both = self._predict(torch.cat([x, x]), torch.cat([t, t]), torch.cat([null, labels]))
        base, given = both.chunk(2)
        return base + self.guidance * (given - base)

    def _predict(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        net, scheduler = self.network.net, self.network.scheduler
        kind = scheduler.config.prediction_type
        labelled = NoisePredictor(lambda x, t: net(x, t, labels), self.network.schedule.alpha_bar, kind, len(x))
        return labelled(x, t)


@dataclass(frozen=True)
class LatentModel:
    """x_T and classes to scaled latents z_0, all in float32."""

    network: Network
    form: Literal["diffusion", "one-step"]
    guidance: float = 1.0
    steps: int = 50  # DDIM steps, a divisor of the training chain's
    max_batch: int = 256

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of one latent."""
        return self.network.shape

    def eps(self, labels: Tensor, guidance: float | None = None) -> GuidedEps:
        """The noise predictor of those samples, (B,), at the model's guidance or another."""
        return GuidedEps(self.network, labels, self.guidance if guidance is None else guidance, self.max_batch)

    def chain(self, x_T: Tensor, labels: Tensor, guidance: float | None = None) -> DDIMChain:
        """The DDIM chains from x_T (B, c, h, w). UserError: steps that the grid cannot serve."""
        return DDIMChain.make(self.eps(labels, guidance), self.network.schedule, GRID, self.steps, x_T)

    @torch.no_grad()
    def trajectory(self, x_T: Tensor, labels: Tensor) -> list[Tensor]:
        """All states of the chains, x_T first and z_0 last, each (B, c, h, w); a one-step model has just these two."""
        return [x_T, *self._states(x_T, labels)]

    @torch.no_grad()
    def latents(self, x_T: Tensor, labels: Tensor) -> Tensor:
        """z_0, (B, c, h, w), of x_T (B, c, h, w) and classes (B,); frames (B, F, c, h, w) share their class."""
        if x_T.ndim == 5:
            flat = self.latents(x_T.flatten(0, 1), labels.repeat_interleave(x_T.shape[1]))
            return flat.view(x_T.shape)
        *_, z = self._states(x_T, labels)
        return z

    def _states(self, x_T: Tensor, labels: Tensor) -> Iterator[Tensor]:
        if self.form == "diffusion":
            yield from self.chain(x_T, labels).walk()
        else:
            yield self.generate(x_T, labels)

    def generate(self, x_T: Tensor, labels: Tensor) -> Tensor:
        """z_0 of the one-step generator, differentiable. x_T: (B, c, h, w); labels: (B,). Source: InstaFlow, eq. 6."""
        parts = zip(x_T.split(self.max_batch), labels.split(self.max_batch), strict=True)
        return torch.cat([generated(self.network.net, *part) for part in parts])
