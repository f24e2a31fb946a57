"""A job a model for marked images told apart, and one that times the ways from an image to x_T."""

from deqbench.experiments.decoder_inversion.shared import (
    DecoderSlice,
    Inverter,
    ModelSlice,
    NoiseInversion,
    model_slice,
    models_of,
    networks_of,
    resolved,
)
from deqbench.experiments.decoder_inversion.watermark.config import Watermark, Watermarked
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage, once


class MarkJob(ModelSlice):
    """Classification of one model's marked images."""

    keys: int
    radius: int
    symmetric: bool
    shown: int
    encoder: str
    gradient: str
    marked: Watermarked
    inversions: dict[str, NoiseInversion]
    inverters: dict[str, Inverter]


class TimeMarksJob(DecoderSlice):
    """Seconds of the ways from an image to x_T, of all models that are timed."""

    models: dict[str, MarkJob]


def watermark(scope: Scope, dataset: str) -> MarkJob:
    """The slice behind one model's watermarks. UserError: it has none."""
    section: Watermark = scope.section
    marked: Watermarked = scope.part("models", dataset)
    return MarkJob(
        **model_slice(scope, dataset),
        **section.model_dump(include={"keys", "radius", "symmetric", "shown", "encoder", "gradient"}),
        marked=marked,
        inversions={name: section.inversions[name] for name in (*marked.inversions, marked.timed_at[1])},
        inverters=resolved(scope, (name for named in marked.guidance.values() for name in named)),
    )


def time(scope: Scope) -> TimeMarksJob:
    """The slice behind the times of all models that are timed."""
    return TimeMarksJob(**scope.slice, models={name: watermark(scope, name) for name in _timed(scope)})


def _timed(scope: Scope) -> list[str]:
    return [name for name, marked in scope.section.models.items() if marked.timed]


def _timed_networks(scope: Scope) -> dict[str, list[str]]:
    models = [scope.shared.models[name] for name in _timed(scope)]
    return {"network": scope.networks(name for model in models for name in (model.autoencoder, model.denoiser))}


def _outputs(scope: Scope) -> dict[str, str]:
    names = {
        "told": "{}/{{dataset}}.csv",
        "guidance": "{}-guidance/{{dataset}}.csv",
        "pictures": "{}/{{dataset}}.safetensors",
    }
    return {name: path.format(scope.experiment) for name, path in names.items()}


STAGES = (
    Stage(watermark, "tree-ring keys of {dataset}", _outputs, models_of, networks_of),
    Stage(
        time,
        "times of inversions",
        {"times": "times.csv"},
        lambda scope: once(scope) * bool(_timed(scope)),
        _timed_networks,
        alone=True,
    ),
)
