"""One job's slice of the config: a rule's params, so that an edit elsewhere in the config reruns nothing."""

from collections.abc import Iterable
from typing import Any

import deqbench.papers
from deqbench.config import Checkpoint, Config, Figure1, Latents, Method, Scores, Strict, Times
from deqbench.config.comparison import Compared, Comparison
from deqbench.config.studies import Costs, Cycles, Workers
from deqbench.errors import UserError

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
    options: dict[str, str | int]


class Draw(Job):
    """Images of some methods, one shard of them, at every T and eta."""

    methods: dict[str, Method]
    eta: list[float]
    scores: Scores
    shard: int


class Score(Job):
    """Scores of all methods' images of one data set."""

    experiment: str
    methods: dict[str, Method]
    baseline: str
    T: list[int]
    eta: list[float]
    extractor: str


class Time(Strict):
    """Times of all methods on all data sets, interleaved."""

    experiment: str
    seed: int
    device: str
    max_batch: int
    grids: dict[str, str]
    methods: dict[str, Method]
    baseline: str
    times: dict[str, Times]
    eta: dict[str, list[float]]


class Traced(Strict):
    """The joint solves of one method."""

    method: Method
    runs: dict[int, int]
    rounds: int


class TraceJob(Job):
    """The joint solve of several chains, round by round."""

    experiment: str
    methods: dict[str, Traced]
    eta: list[float]


class LatentsJob(Job):
    """The states of some chains after some rounds."""

    method: Method
    method_name: str
    chains: list[Latents]
    rounds: int


class SamplesJob(Job):
    """Images from one x_T at several eta."""

    method: Method
    method_name: str
    T: int
    eta: list[float]


class CompareJob(Job):
    """All methods on the chains of one problem and T."""

    methods: dict[str, Method]
    compared: dict[str, Compared]
    T: int
    images: int
    calibration: int


class TimeComparedJob(Strict):
    """Times of all methods compared, on all problems, interleaved."""

    seed: int
    device: str
    max_batch: int
    grids: dict[str, str]
    methods: dict[str, Method]
    baseline: str
    images: dict[str, dict[int, int]]


def _job(config: Config, dataset: str) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "dataset": dataset,
        "grid": config.datasets[dataset].grid if dataset in config.datasets else ANALYTIC_GRID,
        "device": config.limits.device,
        "max_batch": config.limits.max_batch,
    }


def draw(config: Config, dataset: str, method: str, shard: str | int, experiment: str = "table-1") -> Draw:
    """The slice behind one shard of the images that the job `method` draws: one method's, or all of them."""
    paper = config.papers.deq_ddim
    table = paper.experiment(experiment)
    alone = table.scores[dataset].model_copy(update={"methods": None})  # the others are not this job's concern
    methods = {name: paper.methods[name] for name in table.drawn(dataset)[method]}
    return Draw(**_job(config, dataset), methods=methods, eta=table.etas(dataset), scores=alone, shard=int(shard))


def score(config: Config, dataset: str, experiment: str = "table-1") -> Score:
    """The slice behind one data set's scores."""
    table, methods = config.papers.deq_ddim.experiment(experiment), config.papers.deq_ddim.methods
    return Score(
        **_job(config, dataset),
        experiment=experiment,
        methods={name: methods[name] for name in table.scored(dataset)},
        baseline=table.baseline,
        T=table.scores[dataset].T,
        eta=table.etas(dataset),
        extractor=config.datasets[dataset].extractor,
    )


def time(config: Config, experiment: str = "table-1") -> Time:
    """The slice behind the times."""
    table, limits = config.papers.deq_ddim.experiment(experiment), config.limits
    return Time(
        experiment=experiment,
        seed=config.seed,
        device=limits.device,
        max_batch=limits.max_batch,
        grids={name: config.datasets[name].grid for name in table.times},
        methods=_named(config, table.timed),
        baseline=table.baseline,
        times=table.times,
        eta={name: table.etas(name) for name in table.times},
    )


def at_each(methods: dict[str, Method], eta: list[float]) -> list[dict[str, Method]]:
    """The methods walked at each eta, those with an eta of their own at that only; as they are where eta is empty."""
    return [
        {name: method.model_copy(update={"eta": value}) for name, method in methods.items() if method.eta in (0, value)}
        for value in eta
    ] or [methods]


def trace(config: Config, dataset: str, experiment: str = "figure-1") -> TraceJob:
    """The slice behind one data set's share of figure 1 or 11."""
    figure: Figure1 = config.papers.deq_ddim.experiment(experiment)
    known, share = config.papers.deq_ddim.methods, figure.datasets[dataset]
    methods = {name: Traced(method=known[name], runs=share.runs, rounds=figure.rounds) for name in figure.methods}
    methods |= {
        name: Traced(method=known[name], runs=also.runs, rounds=also.rounds) for name, also in share.also.items()
    }
    return TraceJob(**_job(config, dataset), experiment=experiment, methods=methods, eta=figure.eta)


def latents(config: Config, dataset: str, experiment: str = "figure-2") -> LatentsJob:
    """The slice behind one data set's share of figure 2 or 18."""
    figure = config.papers.deq_ddim.experiment(experiment)
    return LatentsJob(
        **_job(config, dataset),
        method=config.papers.deq_ddim.methods[figure.method],
        method_name=figure.method,
        chains=figure.datasets[dataset],
        rounds=figure.rounds,
    )


def samples(config: Config, dataset: str, experiment: str = "figure-12") -> SamplesJob:
    """The slice behind one data set's share of figure 12 or 13."""
    figure = config.papers.deq_ddim.experiment(experiment)
    return SamplesJob(
        **_job(config, dataset),
        method=config.papers.deq_ddim.methods[figure.method],
        method_name=figure.method,
        T=figure.datasets[dataset],
        eta=figure.eta,
    )


def _named(config: Config, names: Iterable[str]) -> dict[str, Method]:
    return {name: config.papers.deq_ddim.methods[name] for name in names}


def _comparison(config: Config) -> Comparison:
    section = config.papers.deq_ddim.comparison
    if section is None:
        raise UserError("papers.deq-ddim.comparison: expected a section; found none")
    return section


def compare(config: Config, problem: str, T: str | int) -> CompareJob:
    """The slice behind one problem's rounds, evaluations and errors. UserError: the config compares nothing."""
    section = _comparison(config)
    chains = section.problems[problem]
    return CompareJob(
        **_job(config, problem),
        methods=_named(config, section.methods),
        compared=section.methods,
        T=int(T),
        images=chains.images[int(T)],
        calibration=chains.calibration.get(int(T), 0),
    )


def time_compared(config: Config) -> TimeComparedJob:
    """The slice behind the times of the comparison. UserError: the config compares nothing."""
    section, paper = _comparison(config), config.papers.deq_ddim
    return TimeComparedJob(
        seed=config.seed,
        device=config.limits.device,
        max_batch=config.limits.max_batch,
        grids={name: _job(config, name)["grid"] for name in section.problems},
        methods=_named(config, section.methods),
        baseline=paper.table_1.baseline,
        images={name: chains.timed for name, chains in section.problems.items() if chains.timed},
    )


def dataset(config: Config, name: str) -> DatasetJob:
    """The slice behind a data set's images."""
    section = config.datasets[name]
    return DatasetJob(source=section.source, options=section.options)


def checkpoint(config: Config, name: str) -> Checkpoint:
    """The slice behind a data set's network."""
    return config.datasets[name].checkpoint


def options(method: Method) -> dict[str, Any]:
    """The sampler's options: those of the preset, then the method's own over them. UserError: unknown preset."""
    preset = deqbench.papers.preset("deq-ddim", method.preset) if method.preset else {}
    return {**preset, **method.options}


def shard_images(total: int, shards: int, shard: int) -> range:
    """The images of one shard of `shards`. UserError: shard outside 0..shards-1."""
    if not 0 <= shard < shards:
        raise UserError(f"shard: expected 0 to {shards - 1}; found {shard}")
    return range(total * shard // shards, total * (shard + 1) // shards)


class CostsJob(Job):
    """Times and memory by batch size; the sequential method first."""

    methods: dict[str, Method]
    costs: Costs


class CyclesJob(Job):
    """Long joint solves."""

    methods: dict[str, Method]
    cycles: Cycles


class WorkersJob(Job):
    """Time against the number of workers."""

    method: Method
    workers: Workers


def costs(config: Config, dataset: str) -> CostsJob:
    """The slice behind one data set's costs."""
    section = config.papers.deq_ddim.costs[dataset]
    return CostsJob(**_job(config, dataset), methods=_named(config, section.methods), costs=section)


def cycles(config: Config, dataset: str) -> CyclesJob:
    """The slice behind one data set's long solves."""
    section = config.papers.deq_ddim.cycles[dataset]
    return CyclesJob(**_job(config, dataset), methods=_named(config, section.methods), cycles=section)


def workers(config: Config, dataset: str) -> WorkersJob:
    """The slice behind one data set's times by number of workers."""
    section = config.papers.deq_ddim.workers[dataset]
    method = config.papers.deq_ddim.methods[section.method]
    return WorkersJob(**_job(config, dataset), method=method, workers=section)


def record(experiment: str, dataset: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row as a record of the paper."""
    return {"paper": "deq-ddim", "experiment": experiment, "dataset": dataset, **row}
