"""A job a shard of one method's images, one that scores all of a data set, and one that times all methods."""

from typing import Any

from deqbench.experiments.deq_ddim.scores.config import Scores, Times
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, grid, network_of, resolved
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage, once

DRAWN = "{dataset}/{method}/{shard}.safetensors"  # below the experiment's folder


class DrawJob(ChainSlice):
    """Images of one method, one shard of them, at every T and eta."""

    name: str
    method: Method
    T: list[int]
    eta: list[float]
    images: int  # of all shards
    shards: int
    shard: int


class ScoreJob(ChainSlice):
    """Scores of all methods' images of one data set."""

    methods: dict[str, Method]
    baseline: str
    T: list[int]
    eta: list[float]
    extractor: str


class TimeJob(Slice):
    """Times of all methods on all data sets, interleaved."""

    grids: dict[str, str]
    methods: dict[str, Method]
    baseline: str
    times: dict[str, Times]
    eta: dict[str, list[float]]


def draw(scope: Scope, dataset: str, method: str, shard: str) -> DrawJob:
    """The slice behind one shard of a method's images."""
    section: Scores = scope.section
    share = section.scores[dataset]
    return DrawJob(
        **chain_slice(scope, dataset),
        name=method,
        method=resolved(scope, "methods", [method])[method],
        T=share.T,
        eta=section.etas(dataset),
        images=share.images,
        shards=share.shards,
        shard=int(shard),
    )


def score(scope: Scope, dataset: str) -> ScoreJob:
    """The slice behind one data set's scores."""
    section: Scores = scope.section
    return ScoreJob(
        **chain_slice(scope, dataset),
        methods=resolved(scope, "methods", section.scored(dataset)),
        baseline=scope.shared.baseline,
        T=section.scores[dataset].T,
        eta=section.etas(dataset),
        extractor=scope.config.datasets[dataset].extractor,
    )


def time(scope: Scope) -> TimeJob:
    """The slice behind the times."""
    section: Scores = scope.section
    return TimeJob(
        **scope.slice,
        grids={name: grid(scope, name) for name in section.times},
        methods=resolved(scope, "methods", section.timed),
        baseline=scope.shared.baseline,
        times=section.times,
        eta={name: section.etas(name) for name in section.times},
    )


def _shards(scope: Scope) -> list[dict[str, Any]]:
    section: Scores = scope.section
    return [
        {"dataset": dataset, "method": method, "shard": shard}
        for dataset, share in section.scores.items()
        for method in section.scored(dataset)
        for shard in range(share.shards)
    ]


def _scored_from(scope: Scope, dataset: str) -> dict[str, list[str]]:
    drawn = [place for place in _shards(scope) if place["dataset"] == dataset]
    return {
        "drawn": [f"{scope.own}/{DRAWN.format(**place)}" for place in drawn],
        "dataset": scope.datasets([dataset]),
        "features": [f"{scope.results}/statistics/{dataset}.safetensors"],
    }


STAGES = (
    Stage(draw, "{method} on {dataset}, shard {shard}", {"images": DRAWN}, _shards, network_of),
    Stage(
        score,
        "scores on {dataset}",
        {"records": "{dataset}/scores.csv"},
        lambda scope: [{"dataset": dataset} for dataset in scope.section.scores],
        _scored_from,
    ),
    Stage(
        time,
        "times",
        {"records": "times.csv"},
        lambda scope: once(scope) * bool(scope.section.times),
        lambda scope: {"weights": scope.checkpoints(scope.section.times)},
        alone=True,
    ),
)
