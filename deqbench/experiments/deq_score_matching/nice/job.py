"""A job a split that trains all methods at all rates, and one, alone on the machine, that measures them all."""

from deqbench.experiments.deq_score_matching.nice.config import Flow, Logits, Method
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage
from deqbench.training.settings import Optimisation

ENDINGS = {"weights": "safetensors", "history": "parquet", "card": "json"}


class FlowSlice(Slice):
    """What trainings and measurements are told."""

    dataset: str
    images: Logits
    flow: Flow
    optimisation: Optimisation
    rates: list[float]
    methods: dict[str, Method]
    watched: int


class TrainJob(FlowSlice):
    """All trainings on one split."""

    split: int


class EvaluateJob(FlowSlice):
    """What is measured of all trainings."""

    splits: list[int]
    timed: int


def train(scope: Scope, split: str) -> TrainJob:
    """The slice of a split's trainings."""
    return TrainJob(**_told(scope), split=int(split))


def evaluate(scope: Scope) -> EvaluateJob:
    """The slice of the measurement."""
    return EvaluateJob(**_told(scope), splits=scope.section.splits, timed=scope.section.timed)


def _told(scope: Scope) -> dict[str, object]:
    names = ("dataset", "images", "flow", "optimisation", "rates", "watched")
    told = {name: getattr(scope.section, name) for name in names}
    return {**scope.slice, **told, "methods": scope.section.rows}


def output_name(file: str, method: str, rate: int) -> str:
    """The name by which a training finds one of its files. rate: its place among those tried."""
    return f"{file}_{method}_{rate}".replace("-", "_")


def _trained(scope: Scope) -> dict[str, str]:
    return {
        output_name(file, method, rate): f"{scope.experiment}/{{split}}/{method}/{rate}.{ending}"
        for method in scope.section.rows
        for rate in range(len(scope.section.rates))
        for file, ending in ENDINGS.items()
    }


def _of_all(scope: Scope, file: str) -> list[str]:
    """Paths that end with split, method and place of the rate."""
    paths = [path for name, path in _trained(scope).items() if name.startswith(f"{file}_")]
    return [f"{scope.folder}/{path.format(split=split)}" for split in scope.section.splits for path in paths]


STAGES = (
    Stage(
        train,
        "all flows on split {split}",
        _trained,
        lambda scope: [{"split": split} for split in scope.section.splits],
        lambda scope, **_: {"data": scope.datasets([scope.section.dataset])},
    ),
    Stage(
        evaluate,
        "losses, likelihoods, bytes and seconds of all flows",
        {"records": "flows.csv"},
        inputs=lambda scope: {
            "data": scope.datasets([scope.section.dataset]),
            "weights": _of_all(scope, "weights"),
            "cards": _of_all(scope, "card"),
        },
        alone=True,
    ),
)
