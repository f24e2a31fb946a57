"""A training job and a measuring job for each data set and a few of its splits."""

from typing import Any

from deqbench.experiments.deq_score_matching.dkef.config import Data, KernelDensities, Row
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage


class KernelSlice(Slice):
    """The slice of a job on a data set."""

    dataset: str
    source: str
    options: dict[str, Any]  # of the source
    splits: list[int]
    rows: dict[str, Row]
    data: Data


class TrainJob(KernelSlice):
    """Trainings of all rows with all settings on some splits."""


class EvaluateJob(KernelSlice):
    """Measures of what has been trained on some splits."""


def _slice(scope: Scope, dataset: str, part: str) -> dict[str, Any]:
    section: KernelDensities = scope.section
    data, source = section.datasets[dataset], scope.config.datasets[dataset]
    splits = data.splits[int(part) * data.at_once : (int(part) + 1) * data.at_once]
    about = {"source": source.source, "options": source.options, "splits": splits, "data": data}
    return {**scope.slice, "dataset": dataset, **about, "rows": section.methods(dataset)}


def train(scope: Scope, dataset: str, part: str) -> TrainJob:
    """The slice behind the trainings on some splits."""
    return TrainJob(**_slice(scope, dataset, part))


def evaluate(scope: Scope, dataset: str, part: str) -> EvaluateJob:
    """The slice behind the measures of some splits."""
    return EvaluateJob(**_slice(scope, dataset, part))


def _parts(scope: Scope, trained: bool = False) -> list[dict[str, Any]]:
    """A place for every few splits of a data set; trained: of those that are trained here."""
    return [
        {"dataset": name, "part": part}
        for name, data in scope.section.datasets.items()
        if not (trained and data.shipped)
        for part in range(-(-len(data.splits) // data.at_once))
    ]


def _trained(scope: Scope, dataset: str, part: str) -> dict[str, list[str]]:
    """The models of a part; a data set with shipped ones needs no training."""
    shipped = scope.section.datasets[dataset].shipped
    return {} if shipped else {"models": [f"{scope.own}/models/{dataset}/{part}"]}


STAGES = (
    Stage(
        train,
        "kernel densities of {dataset}, part {part}",
        {"models": "models/{dataset}/{part}/"},
        lambda scope: _parts(scope, trained=True),
    ),
    Stage(
        evaluate,
        "losses and likelihoods on {dataset}, part {part}",
        {"records": "{dataset}/{part}.csv", "history": "{dataset}/{part}.parquet"},
        _parts,
        _trained,
    ),
)
