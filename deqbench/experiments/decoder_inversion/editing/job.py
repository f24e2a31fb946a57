"""A job a model: edits inside a mask."""

from deqbench.experiments.decoder_inversion.editing.config import Edited
from deqbench.experiments.decoder_inversion.shared import (
    Inverter,
    ModelSlice,
    model_slice,
    models_of,
    networks_of,
    resolved,
)
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class EditJob(ModelSlice):
    """Edits of one model's images."""

    edited: Edited
    inverters: dict[str, Inverter]


def edit(scope: Scope, dataset: str) -> EditJob:
    """The slice behind one model's edits. UserError: it has none."""
    edited: Edited = scope.part("models", dataset)
    inverters = resolved(scope, (edited.baseline, *edited.inverters))
    return EditJob(**model_slice(scope, dataset), edited=edited, inverters=inverters)


STAGES = (
    Stage(
        edit,
        "edits of {dataset}",
        {"errors": "{dataset}.csv", "pictures": "{dataset}.safetensors"},
        models_of,
        networks_of,
    ),
)
