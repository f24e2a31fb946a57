"""A job a data set and T that inverts, one that times all methods, and one of arithmetic: losses against seconds."""

from typing import Any

from deqbench.config.strict import Strict
from deqbench.experiments.deq_ddim.inversion.config import Chains, Inversion
from deqbench.experiments.deq_ddim.shared import (
    ChainSlice,
    Inverter,
    chain_slice,
    grid,
    network_and_images_of,
    resolved,
)
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Place, Stage, once


class RunJob(ChainSlice):
    """The inversions of one data set at one T, by every method, at every eta."""

    inverters: dict[str, Inverter]
    baseline: str
    rates: dict[str, list[float]]  # by method; those of a descent are tried, the others have none
    paper_rate: float
    epochs: dict[str, list[int]]  # by method, one an eta
    eta: list[float]
    T: int
    chains: Chains


class TimeJob(Slice):
    """Seconds of an update, or of a whole run, of every method on all data sets, interleaved."""

    grids: dict[str, str]
    inverters: dict[str, Inverter]
    rate: float
    eta: list[float]
    chains: dict[str, dict[int, Chains]]


class RaceJob(Strict):
    """Loss against seconds, from losses by update and seconds of an update."""

    paper: str
    experiment: str
    baseline: str
    baseline_encoded: str | None
    encoded: list[str]  # methods that start at the encoding
    descents: list[str]


def run(scope: Scope, dataset: str, T: str) -> RunJob:
    """The slice behind one data set's inversions at one T. UserError: the config has no such experiment."""
    section: Inversion = scope.section
    inverters = resolved(scope, "inverters", section.named(dataset, int(T)))
    at = {name: section.at(dataset, int(T), name) for name in inverters}
    return RunJob(
        **chain_slice(scope, dataset),
        inverters=inverters,
        baseline=section.baseline,
        rates={name: rates if inverters[name].descends else [] for name, (rates, _) in at.items()},
        paper_rate=section.paper_rate,
        epochs={name: epochs for name, (_, epochs) in at.items()},
        eta=section.eta,
        T=int(T),
        chains=_untimed(section.datasets[dataset][int(T)]),
    )


def _untimed(chains: Chains) -> Chains:
    """Without what only the clock asks for, and what `rates` and `epochs` of the job say already."""
    clock: dict[str, Any] = {"timed": 0, "timed_epochs": 1, "raced": None}
    return chains.model_copy(update={**clock, "inverters": None, "limits": {}, "epochs": [1]})


def time(scope: Scope) -> TimeJob:
    """The slice behind an experiment's times. UserError: the config has no such experiment."""
    section: Inversion = scope.section
    timed = {
        dataset: {
            T: _clocked(chains, section.named(dataset, T))
            for T, chains in section.datasets[dataset].items()
            if chains.timed
        }
        for dataset in _timed(section)
    }
    names = {name for shares in timed.values() for chains in shares.values() for name in chains.inverters or ()}
    return TimeJob(
        **scope.slice,
        grids={dataset: grid(scope, dataset) for dataset in timed},
        inverters=resolved(scope, "inverters", (name for name in section.inverters if name in names)),
        rate=section.rates[0],
        eta=section.eta,
        chains=timed,
    )


def _timed(section: Inversion) -> list[str]:
    """The data sets that are timed at some T."""
    return [name for name, shares in section.datasets.items() if any(chains.timed for chains in shares.values())]


def _clocked(chains: Chains, names: list[str]) -> Chains:
    """The part that the clock asks for."""
    clock = chains.model_dump(include={"images", "timed", "timed_epochs"})
    return Chains(**clock, epochs=[1], inverters=names, raced=chains.raced or chains.timed)


def race(scope: Scope) -> RaceJob:
    """The slice behind an experiment's losses against seconds. UserError: the config has no such experiment."""
    section: Inversion = scope.section
    known = scope.shared.inverters
    return RaceJob(
        paper=scope.paper,
        experiment=scope.experiment,
        baseline=section.baseline,
        baseline_encoded=section.baseline_encoded,
        encoded=[name for name in section.inverters if known[name].encoded],
        descents=[name for name in section.inverters if known[name].descends],
    )


def _lengths(scope: Scope) -> list[dict[str, Any]]:
    section: Inversion = scope.section
    return [{"dataset": dataset, "T": T} for dataset, shares in section.datasets.items() for T in shares]


def _raced_from(scope: Scope) -> dict[str, list[str]]:
    runs = [f"{scope.own}/{place['dataset']}/{place['T']}" for place in _lengths(scope)]
    return {
        "records": [f"{path}.csv" for path in runs],
        "traces": [f"{path}.parquet" for path in runs],
        "times": [f"{scope.own}/times.csv"],
        "steps": [f"{scope.own}/times.parquet"],
    }


def _timed_from(scope: Scope) -> dict[str, list[str]]:
    names = _timed(scope.section)
    return {"weights": scope.checkpoints(names), "dataset": scope.datasets(names)}


def _files(name: str) -> dict[str, str]:
    return {"records": f"{name}.csv", "traces": f"{name}.parquet"}


def _where_timed(scope: Scope) -> list[Place]:
    return once(scope) if _timed(scope.section) else []


STAGES = (
    Stage(
        run,
        "inversions on {dataset}, T = {T}",
        {**_files("{dataset}/{T}"), "pictures": "{dataset}/{T}.safetensors"},
        _lengths,
        network_and_images_of,
    ),
    Stage(time, "times of inversions", _files("times"), _where_timed, _timed_from, alone=True),
    Stage(race, "loss against seconds", _files("race"), _where_timed, _raced_from, local=True),
)
