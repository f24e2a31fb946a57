"""A job a data set, a network and a data set's features."""

from functools import partial
from typing import Any

from deqbench.config.strict import Strict
from deqbench.data.sources import Checkpoint
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class DatasetJob(Strict):
    """A data set's source."""

    dataset: str
    source: str
    options: dict[str, Any]


class FetchJob(Strict):
    """A network, and the name that it goes by."""

    network: str
    checkpoint: Checkpoint


class FeaturesJob(Strict):
    """A data set's extractor."""

    dataset: str
    extractor: str


def dataset(scope: Scope, dataset: str) -> DatasetJob:
    """The slice behind a data set's images."""
    section = scope.config.datasets[dataset]
    return DatasetJob(dataset=dataset, source=section.source, options=section.options)


def checkpoint(scope: Scope, dataset: str) -> FetchJob:
    """The slice behind a data set's network."""
    return FetchJob.model_validate({"network": dataset, "checkpoint": scope.config.datasets[dataset].checkpoint})


def network(scope: Scope, network: str) -> FetchJob:
    """The slice behind a network that belongs to no data set."""
    return FetchJob(network=network, checkpoint=scope.config.networks[network])


def features(scope: Scope, dataset: str) -> FeaturesJob:
    """The slice behind a data set's features."""
    return FeaturesJob.model_validate({"dataset": dataset, "extractor": scope.config.datasets[dataset].extractor})


def _datasets(scope: Scope, part: str = "source") -> list[dict[str, Any]]:
    """A place a data set that has a checkpoint, an extractor..."""
    return [{"dataset": name} for name, section in scope.config.datasets.items() if getattr(section, part)]


def _images(scope: Scope, dataset: str) -> dict[str, list[str]]:
    return {"dataset": scope.datasets([dataset])}


STAGES = (
    Stage(dataset, "data set {dataset}", {"images": "datasets/{dataset}.safetensors"}, _datasets),
    Stage(
        checkpoint,
        "checkpoint of {dataset}",
        {"folder": "checkpoints/{dataset}/"},
        partial(_datasets, part="checkpoint"),
        _images,
    ),
    Stage(
        network,
        "network {network}",
        {"folder": "networks/{network}/"},
        lambda scope: [{"network": name} for name in scope.config.networks],
    ),
    Stage(
        features,
        "features of {dataset}",
        {"features": "statistics/{dataset}.safetensors"},
        partial(_datasets, part="extractor"),
        _images,
    ),
)
