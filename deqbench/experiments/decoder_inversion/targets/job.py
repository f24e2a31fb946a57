"""A job a model: its latents and the images that its decoder makes of them."""

from deqbench.experiments.decoder_inversion.shared import ModelSlice, model_slice, networks_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


def targets(scope: Scope, dataset: str) -> ModelSlice:
    """The slice behind one model's targets."""
    return ModelSlice(**model_slice(scope, dataset))


STAGES = (
    Stage(
        targets,
        "latents and images of {dataset}",
        {"targets": "{dataset}.safetensors"},
        lambda scope: [{"dataset": name} for name in scope.shared.models],
        networks_of,
    ),
)
