"""A training a method and split, and a job that scores them all."""

from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage
from deqbench.training.settings import Optimisation

ENDINGS = {"weights": "safetensors", "history": "parquet", "card": "json"}


class TrainJob(Slice):
    """One training."""

    dataset: str
    split: int
    optimisation: Optimisation


class ScoreJob(Slice):
    """The excess of all trainings."""

    dataset: str
    methods: list[str]
    splits: list[int]


def train(scope: Scope, method: str, split: str) -> TrainJob:
    """The slice of one training."""
    section = scope.section
    optimisation = section.methods[method].model_copy(update={"seed": int(split)})
    return TrainJob(**scope.slice, dataset=section.dataset, split=int(split), optimisation=optimisation)


def score(scope: Scope) -> ScoreJob:
    """The slice of all scores."""
    section = scope.section
    return ScoreJob(**scope.slice, dataset=section.dataset, methods=list(section.methods), splits=section.splits)


def trained(scope: Scope, method: str, split: int) -> str:
    """The weights of a training."""
    return f"{scope.own}/{method}/{split}.safetensors"


STAGES = (
    Stage(
        train,
        "{method} on split {split}",
        {n: f"{{method}}/{{split}}.{end}" for n, end in ENDINGS.items()},
        lambda scope: [{"method": m, "split": s} for m in scope.section.methods for s in scope.section.splits],
        lambda scope, **_: {"data": scope.datasets([scope.section.dataset])},
    ),
    Stage(
        score,
        "excess of all",
        {"records": "scores.csv"},
        inputs=lambda scope: {
            "data": scope.datasets([scope.section.dataset]),
            "weights": [trained(scope, m, s) for m in scope.section.methods for s in scope.section.splits],
        },
    ),
)
