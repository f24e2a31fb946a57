"""Slices behind watermarks and edits."""

from collections.abc import Iterable
from typing import Any

from deqbench.config import Config, Strict
from deqbench.config.decoder import DecoderInverter
from deqbench.config.decoder.watermark import Edited, Editing, NoiseInversion, Watermark, Watermarked
from deqbench.errors import UserError
from deqbench.jobs.decoder.common import DecoderJob, paper, place


class MarkJob(DecoderJob):
    """Classification of one model's marked images."""

    keys: int
    radius: int
    symmetric: bool
    shown: int
    encoder: str
    gradient: str
    marked: Watermarked
    inversions: dict[str, NoiseInversion]
    inverters: dict[str, DecoderInverter]


class TimeMarks(Strict):
    """Seconds of the ways from an image to x_T, of all models that are timed."""

    models: dict[str, MarkJob]


class EditJob(DecoderJob):
    """Edits of one model's images."""

    edited: Edited
    inverters: dict[str, DecoderInverter]


def _of(config: Config, name: str, model: str) -> tuple[Any, Any]:
    """The section of that name and its part of a model. UserError: this scale has none."""
    section: Watermark | Editing | None = getattr(paper(config), name)
    if section is None or model not in section.models:
        raise UserError(f"papers.decoder-inversion.{name}.models: expected '{model}'; found none of that name")
    return section, section.models[model]


def _inverters(config: Config, names: Iterable[str]) -> dict[str, DecoderInverter]:
    return {name: paper(config).inverters[name] for name in dict.fromkeys(names)}


def mark(config: Config, model: str) -> MarkJob:
    """The slice behind one model's watermarks. UserError: it has none."""
    section, found = _of(config, "watermark", model)
    return MarkJob(
        **place(config, model),
        **{key: getattr(section, key) for key in ("keys", "radius", "symmetric", "shown", "encoder", "gradient")},
        marked=found,
        inversions={name: section.inversions[name] for name in (*found.inversions, found.timed_at[1])},
        inverters=_inverters(config, (name for named in found.guidance.values() for name in named)),
    )


def time_marks(config: Config) -> TimeMarks:
    """The slice behind the times of all models that are timed. UserError: this scale has no watermarks."""
    section = paper(config).watermark
    if section is None:
        raise UserError("papers.decoder-inversion.watermark: expected a section; found none")
    return TimeMarks(models={name: mark(config, name) for name, found in section.models.items() if found.timed})


def edit(config: Config, model: str) -> EditJob:
    """The slice behind one model's edits. UserError: it has none."""
    _, found = _of(config, "editing", model)
    return EditJob(
        **place(config, model), edited=found, inverters=_inverters(config, (found.baseline, *found.inverters))
    )
