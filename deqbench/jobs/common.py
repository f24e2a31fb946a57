"""What every job knows, and the slices of the config that all papers share."""

from collections.abc import Iterable
from typing import Any

import deqbench.papers
from deqbench.config import Checkpoint, Config, Method, Strict
from deqbench.config.inversion import Inverter

ANALYTIC_GRID = "uniform-released"  # of chains without a data set


class Job(Strict):
    """What every sampling job knows."""

    seed: int
    dataset: str
    grid: str
    device: str
    max_batch: int


class DatasetJob(Strict):
    """What a data set is built from."""

    source: str
    options: dict[str, Any]  # checked against deqbench.data.sources when it is built


def dataset(config: Config, name: str) -> DatasetJob:
    """The slice behind a data set's images."""
    section = config.datasets[name]
    return DatasetJob(source=section.source, options=section.options)


def checkpoint(config: Config, name: str) -> Checkpoint:
    """The slice behind a data set's network."""
    return config.datasets[name].checkpoint


def network(config: Config, name: str) -> Checkpoint:
    """The slice behind an autoencoder or a latent model."""
    return config.networks[name]


def options(method: Method | Inverter) -> dict[str, Any]:
    """The method's options: those of the preset, then the method's own over them. UserError: unknown preset."""
    preset = deqbench.papers.preset("deq-ddim", method.preset) if method.preset else {}
    return {**preset, **method.options}


def record(experiment: str, dataset: str, row: dict[str, Any], paper: str = "deq-ddim") -> dict[str, Any]:
    """A row as a record of a paper."""
    return {"paper": paper, "experiment": experiment, "dataset": dataset, **row}


def place(config: Config, dataset: str) -> dict[str, Any]:
    """The fields of `Job` for a data set, or an analytic problem of that name."""
    return {
        "seed": config.seed,
        "dataset": dataset,
        "grid": config.datasets[dataset].grid if dataset in config.datasets else ANALYTIC_GRID,
        "device": config.limits.device,
        "max_batch": config.limits.max_batch,
    }


def named(config: Config, names: Iterable[str]) -> dict[str, Method]:
    """The samplers of those names."""
    return {name: config.papers.deq_ddim.methods[name] for name in names}
