"""Inverters as experiments run them: on one autoencoder, in their precisions, at a rate."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import invert
from deqbench.decoder_inversion.inverting import DecoderInversion, Plateau, run
from deqbench.experiments.decoder_inversion.shared import Inverter

POSTERIOR = 20240  # added to the job's seed where E draws from its posterior
BATCH = 32  # images inverted together


@dataclass(frozen=True)
class BoundInverter:
    """A method as it is run on one autoencoder; its inverter's options are whole, without a preset."""

    name: str
    inverter: Inverter
    vae: nn.Module
    seed: int
    max_batch: int

    @classmethod
    def of(cls, job: Any, name: str, vae: nn.Module) -> "BoundInverter":
        """The inverter of that name in a job's slice."""
        return cls(name, job.inverters[name], vae, job.seed, job.pictures)

    @property
    def scheduled(self) -> bool:
        """Whether a run depends on how many iterations it is given, so that each budget is a run of its own."""
        return bool(self.inverter.options.get("schedule", "fixed") != "fixed")

    @property
    def rates(self) -> list[float | None]:
        """The rates tried; None is the options' own."""
        return [*self.inverter.rates] or [None]

    def options(self, rate: float | None) -> dict[str, Any]:
        """The inverter's settings at a rate."""
        return self.inverter.options | ({} if rate is None else {self.inverter.rate: rate})

    def own_rate(self, rate: float | None) -> float:
        """The rate that a run has, NaN where the method has none."""
        return float(self.options(rate).get(self.inverter.rate, float("nan")))

    def codec(self) -> Codec:
        """The autoencoder as this method uses it."""
        return codec_of(self.vae, self.inverter, torch.Generator().manual_seed(POSTERIOR + self.seed), self.max_batch)

    def invert(
        self,
        x: Tensor,
        rate: float | None,
        iterations: int,
        reference: Codec,
        every: int | None,
        z_true: Tensor | None,
        plateau: Plateau | None = None,
    ) -> DecoderInversion:
        """One run. The true latents are for the trace, and for the plateau where the run is to end at it."""
        return run(
            self.inverter.inverter,
            self.codec(),
            x,
            self.options(rate),
            iterations,
            z_true=z_true,
            reference=reference,
            every=every,
            plateau=plateau,
        )


def codec_of(
    vae: Any, inverter: Inverter, generator: torch.Generator, max_batch: int, form: type[Codec] = Codec
) -> Any:
    """The codec that a method runs on: its precisions, and the released code's sampling and copies where it has them.

    generator: of the posterior's draws, for a released method.
    """
    posterior = generator if inverter.released else None
    copied = inverter.released and inverter.precision == "fp32"  # the released code copies where it casts to float
    return form(vae, inverter.precision, state=inverter.state, posterior=posterior, copied=copied, max_batch=max_batch)


def inverted(method: BoundInverter, x: Tensor, iterations: int) -> Tensor:
    """Latents (B, c, h, w) in float32 of images (B, 3, H, W) by a decoder inverter, at the first of its rates."""
    codec, options = method.codec(), method.options(method.rates[0])
    name = method.inverter.inverter
    parts = [invert(name, codec, part, None, options, iterations=iterations) for part in x.split(BATCH)]
    return torch.cat(parts).detach().float()
