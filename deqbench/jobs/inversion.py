"""Slices behind the inversion experiments."""

from typing import Any

from deqbench.config import Config, Strict
from deqbench.config.inversion import Inversion, Inverted, Inverter
from deqbench.errors import UserError
from deqbench.jobs.common import Job, place


class Invert(Job):
    """The inversions of one data set at one T, by every method, at every eta."""

    experiment: str
    inverters: dict[str, Inverter]
    baseline: str
    rates: dict[str, list[float]]  # by method; those of a descent are tried, the others have none
    paper_rate: float
    epochs: dict[str, list[int]]  # by method, one an eta
    eta: list[float]
    T: int
    chains: Inverted


class TimeInversions(Strict):
    """Seconds of an update, or of a whole run, of every method on all data sets, interleaved."""

    experiment: str
    seed: int
    device: str
    max_batch: int
    grids: dict[str, str]
    inverters: dict[str, Inverter]
    rate: float
    eta: list[float]
    chains: dict[str, dict[int, Inverted]]


class Race(Strict):
    """Loss against seconds, from losses by update and seconds of an update."""

    experiment: str
    baseline: str
    baseline_encoded: str | None
    encoded: list[str]  # methods that start at the encoding
    descents: list[str]


def section(config: Config, experiment: str) -> Inversion:
    """The section of an inversion experiment. UserError: the config has none."""
    found: Inversion | None = config.papers.deq_ddim.experiment(experiment)
    if found is None:
        raise UserError(f"papers.deq-ddim.{experiment}: expected a section; found none")
    return found


def invert(config: Config, dataset: str, T: str | int, experiment: str = "table-3") -> Invert:
    """The slice behind one data set's inversions at one T. UserError: the config has no such experiment."""
    found, known = section(config, experiment), config.papers.deq_ddim.inverters
    names = found.named(dataset, int(T))
    at = {name: found.at(dataset, int(T), name) for name in names}
    return Invert(
        **place(config, dataset),
        experiment=experiment,
        inverters={name: known[name] for name in names},
        baseline=found.baseline,
        rates={name: rates if known[name].descends else [] for name, (rates, _) in at.items()},
        paper_rate=found.paper_rate,
        epochs={name: epochs for name, (_, epochs) in at.items()},
        eta=found.eta,
        T=int(T),
        chains=_untimed(found.datasets[dataset][int(T)]),
    )


def _untimed(chains: Inverted) -> Inverted:
    """Without what only the clock or the rules ask for, and what `rates` and `epochs` of the job say already."""
    update: dict[str, Any] = {
        "timed": 0,
        "timed_epochs": 1,
        "raced": None,
        "inverters": None,
        "limits": {},
        "epochs": [1],
        "shared": False,
    }
    return chains.model_copy(update=update)


def time_inversions(config: Config, experiment: str = "table-3") -> TimeInversions:
    """The slice behind an experiment's times. UserError: the config has no such experiment."""
    found, known, limits = section(config, experiment), config.papers.deq_ddim.inverters, config.limits
    timed = {
        dataset: {T: _clocked(chains, found.named(dataset, T)) for T, chains in shares.items() if chains.timed}
        for dataset, shares in found.datasets.items()
    }
    timed = {dataset: shares for dataset, shares in timed.items() if shares}
    names = {name for shares in timed.values() for chains in shares.values() for name in chains.inverters or ()}
    return TimeInversions(
        experiment=experiment,
        seed=config.seed,
        device=limits.device,
        max_batch=limits.max_batch,
        grids={dataset: config.datasets[dataset].grid for dataset in timed},
        inverters={name: known[name] for name in found.inverters if name in names},
        rate=found.rates[0],
        eta=found.eta,
        chains=timed,
    )


def _clocked(chains: Inverted, names: list[str]) -> Inverted:
    """What the clock asks for, and nothing else."""
    return Inverted(
        images=chains.images,
        epochs=[1],
        inverters=names,
        timed=chains.timed,
        timed_epochs=chains.timed_epochs,
        raced=chains.raced or chains.timed,
    )  # type: ignore[call-arg]


def race(config: Config, experiment: str = "table-3") -> Race:
    """The slice behind an experiment's losses against seconds. UserError: the config has no such experiment."""
    found, known = section(config, experiment), config.papers.deq_ddim.inverters
    return Race(
        experiment=experiment,
        baseline=found.baseline,
        baseline_encoded=found.baseline_encoded,
        encoded=[name for name in found.inverters if known[name].encoded],
        descents=[name for name in found.inverters if known[name].descends],
    )
