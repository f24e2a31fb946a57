"""A job a model: bytes of its iterations and, where this scale has them, frames that fit."""

from deqbench.experiments.decoder_inversion.memory.config import CodecMemory, Frames
from deqbench.experiments.decoder_inversion.shared import ModelSlice, autoencoder_of, model_slice, models_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class MemoryJob(ModelSlice):
    """Bytes of one model's iterations, and frames that fit."""

    memory: CodecMemory
    frames: Frames | None


def memory(scope: Scope, dataset: str) -> MemoryJob:
    """The slice behind one model's bytes."""
    return MemoryJob(**model_slice(scope, dataset), memory=scope.section, frames=scope.shared.experiment("frames"))


def _outputs(scope: Scope) -> dict[str, str]:
    names = ["memory", *["frames"] * (scope.shared.experiment("frames") is not None)]
    return {name: f"{name}/{{dataset}}.csv" for name in names}


STAGES = (Stage(memory, "bytes and frames of {dataset}", _outputs, models_of, autoencoder_of),)
