"""A job a problem and T: rounds, evaluations and errors; and one that times all methods on all problems."""

from typing import Any

from deqbench.config.strict import Strict
from deqbench.experiments.deq_ddim.comparison.config import Compared, Comparison
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, grid, network_and_images_of, resolved
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage, once


class Entry(Strict):
    """One method, and how it takes part."""

    method: Method
    compared: Compared


class MeasureJob(ChainSlice):
    """All methods on the chains of one problem and T."""

    methods: dict[str, Entry]
    T: int
    images: int
    calibration: int


class TimeJob(Slice):
    """Times of all methods compared, on all problems, interleaved."""

    grids: dict[str, str]
    methods: dict[str, Method]
    baseline: str
    images: dict[str, dict[int, int]]
    compared: dict[str, dict[int, list[str]]]


def measure(scope: Scope, dataset: str, T: str) -> MeasureJob:
    """The slice behind one problem's rounds, evaluations and errors. UserError: the config compares nothing."""
    section: Comparison = scope.section
    chains, compared = section.problems[dataset], section.compared(dataset, int(T))
    methods = resolved(scope, "methods", compared)
    return MeasureJob(
        **chain_slice(scope, dataset),
        methods={name: Entry(method=methods[name], compared=compared[name]) for name in compared},
        T=int(T),
        images=chains.images[int(T)],
        calibration=chains.calibration.get(int(T), 0),
    )


def time(scope: Scope) -> TimeJob:
    """The slice behind the times of the comparison. UserError: the config compares nothing."""
    section: Comparison = scope.section
    timed = {name: chains.timed for name, chains in section.problems.items() if chains.timed}
    return TimeJob(
        **scope.slice,
        grids={name: grid(scope, name) for name in timed},
        methods=resolved(scope, "methods", section.methods),
        baseline=scope.shared.baseline,
        images=timed,
        compared={name: {T: list(section.compared(name, T)) for T in images} for name, images in timed.items()},
    )


def _chains(scope: Scope, part: str) -> list[dict[str, Any]]:
    section: Comparison = scope.section
    return [{"dataset": name, "T": T} for name, chains in section.problems.items() for T in getattr(chains, part)]


def _timed_from(scope: Scope) -> dict[str, list[str]]:
    timed = _chains(scope, "timed")
    names = list(dict.fromkeys(place["dataset"] for place in timed))
    return {
        "weights": scope.checkpoints(names),
        "dataset": scope.datasets(names),
        "chosen": [f"{scope.own}/{place['dataset']}/{place['T']}.chosen.json" for place in timed],
    }


STAGES = (
    Stage(
        measure,
        "all methods on {dataset}, T = {T}",
        {"records": "{dataset}/{T}.csv", "traces": "{dataset}/{T}.parquet", "chosen": "{dataset}/{T}.chosen.json"},
        lambda scope: _chains(scope, "images"),
        network_and_images_of,
    ),
    Stage(
        time,
        "times",
        {"records": "times.csv", "traces": "times.parquet"},
        lambda scope: once(scope) * bool(_chains(scope, "timed")),
        _timed_from,
        alone=True,
    ),
)
