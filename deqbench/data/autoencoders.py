"""Autoencoders in diffusers' format, checked before they are used."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from deqbench.data import stored
from deqbench.errors import UserError, unknown
from deqbench.records import read_json

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, AutoencoderTiny

CLASSES = ("AutoencoderKL", "AutoencoderTiny")


def load(folder: Path, subfolder: str | None = None, *, called: str | None = None) -> AutoencoderKL | AutoencoderTiny:
    """The autoencoder in a folder, float32, channels last, in evaluation mode.

    subfolder: where it lies, unless `checkpoints.fetch` wrote it down or it is `vae`. called: the name in errors.
    UserError: missing, cut short, or of another form.
    """
    import diffusers
    import torch

    place, name = stored.locate(Path(folder), subfolder, called, "vae")
    kind = _class_name(place / "config.json", f"{name}/config.json")
    if kind not in CLASSES:
        raise unknown(f"{name}/config.json: _class_name", str(kind), CLASSES)
    log = logging.getLogger("diffusers.configuration_utils")
    log.addFilter(_not_its_own)
    try:
        vae = stored.network(getattr(diffusers, str(kind)), place, name)
    finally:
        log.removeFilter(_not_its_own)
    # a CPU passes one image in 0.88 of the time that it takes channels first, many in 0.98
    return vae.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]


def _not_its_own(record: logging.LogRecord) -> bool:
    """False for the warning that AutoencoderTiny does not know the key which it wrote into its own config."""
    return "'block_out_channels'" not in record.getMessage()


def _class_name(path: Path, name: str) -> object:
    try:
        settings = read_json(path)
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from error
    if not isinstance(settings, dict):
        raise UserError(f"{name}: expected the config of an autoencoder; found a {type(settings).__name__}")
    return settings.get("_class_name")
