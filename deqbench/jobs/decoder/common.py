"""What every job of the paper knows."""

from typing import Any

import deqbench.papers
from deqbench.config import Config, Strict
from deqbench.config.decoder import DecoderInversion, DecoderInverter, Model
from deqbench.decoder_inversion import at_once
from deqbench.errors import UserError
from deqbench.jobs.common import record

PAPER = "decoder-inversion"


class DecoderJob(Strict):
    """What every job of the paper knows."""

    seed: int
    name: str  # of the model
    model: Model
    device: str
    max_batch: int

    @property
    def pictures(self) -> int:
        """Images in one call of the autoencoder."""
        return at_once(self.device, self.max_batch)


def paper(config: Config) -> DecoderInversion:
    """The paper's section. UserError: this scale has none."""
    if config.papers.decoder_inversion is None:
        raise UserError(f"papers.{PAPER}: expected a section; found none")
    return config.papers.decoder_inversion


def place(config: Config, model: str) -> dict[str, Any]:
    """The fields of `DecoderJob` for a model."""
    return {
        "seed": config.seed,
        "name": model,
        "model": paper(config).models[model],
        "device": config.limits.device,
        "max_batch": config.limits.max_batch,
    }


def method_options(method: DecoderInverter) -> dict[str, Any]:
    """The method's options: those of the preset, then the method's own over them. UserError: unknown preset."""
    preset = deqbench.papers.preset(PAPER, method.preset) if method.preset else {}
    return {**preset, **method.options}


def decoder_record(experiment: str, model: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row as a record of the paper."""
    return record(experiment, model, row, PAPER)
