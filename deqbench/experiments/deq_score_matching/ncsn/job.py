"""A job for the costs, one for the workers, and one a data set and seed for the trainings."""

from typing import Any

from deqbench.experiments.deq_score_matching.layers import Objective
from deqbench.experiments.deq_score_matching.ncsn.config import Costs, Ncsn, Network, Sampler, Training, Workers
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage

TRAINED = {"records": "csv", "history": "parquet", "images": "safetensors"}


class NcsnSlice(Slice):
    """The beginning of every slice."""

    width: int
    levels: int
    largest: float
    smallest: float
    objective: Objective
    networks: dict[str, Network]


class CostJob(NcsnSlice):
    """Costs of a step, and the printed layers."""

    costs: Costs


class WorkersJob(NcsnSlice):
    """Seconds of a step by the number of processes."""

    workers: Workers


class TrainJob(NcsnSlice):
    """All networks, trained from one seed."""

    dataset: str
    number: int
    shipped: dict[str, str]
    training: Training
    sampler: Sampler
    extractor: str | None


def _common(scope: Scope) -> dict[str, Any]:
    section: Ncsn = scope.section
    named = ("width", "levels", "largest", "smallest", "objective", "networks")
    return {**scope.slice, **{name: getattr(section, name) for name in named}}


def cost(scope: Scope) -> CostJob:
    """The slice behind the costs."""
    return CostJob(**_common(scope), costs=scope.section.costs)


def share(scope: Scope) -> WorkersJob:
    """The slice behind the times by the number of workers."""
    return WorkersJob(**_common(scope), workers=scope.section.workers)


def train(scope: Scope, dataset: str, seed: str) -> TrainJob:
    """The slice behind the networks trained from one seed."""
    extractor = scope.config.datasets[dataset].extractor
    own = {name: getattr(scope.section, name) for name in ("training", "sampler", "shipped")}
    own["extractor"] = extractor
    return TrainJob(**_common(scope), dataset=dataset, number=int(seed), **own)


def _with_features(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    known = scope.config.datasets[dataset].extractor is not None
    features = [f"{scope.results}/statistics/{dataset}.safetensors"] * known
    return {"dataset": scope.datasets([dataset]), "features": features}


STAGES = (
    Stage(cost, "costs of a step", {"records": "costs.csv", "layers": "layers.csv"}, alone=True),
    Stage(share, "times by the number of workers", {"records": "workers.csv"}, alone=True),
    Stage(
        train,
        "networks of {dataset}, seed {seed}",
        {name: f"{{dataset}}/{{seed}}.{ending}" for name, ending in TRAINED.items()},
        lambda scope: [{"dataset": d, "seed": s} for d in scope.section.datasets for s in scope.section.training.seeds],
        _with_features,
    ),
)
