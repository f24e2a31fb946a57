"""One job's slice of the config: a rule's params, so that an edit elsewhere in the config reruns nothing."""

from typing import Any

import deqbench.papers
from deqbench.config import Checkpoint, Config, Figure1, Latents, Limits, Method, Scores, Strict, Times, Trace
from deqbench.errors import UserError


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
    """Images of one method, one shard of them, at every T."""

    method: Method
    scores: Scores
    shard: int


class Score(Job):
    """Scores of all methods' images of one data set."""

    methods: dict[str, Method]
    baseline: str
    T: list[int]
    extractor: str


class Time(Strict):
    """Times of all methods on all data sets, interleaved."""

    seed: int
    device: str
    max_batch: int
    grids: dict[str, str]
    methods: dict[str, Method]
    baseline: str
    times: dict[str, Times]


class TraceJob(Job):
    """The joint solve of several chains, round by round."""

    methods: dict[str, Method]
    trace: Trace
    rounds: int


class LatentsJob(Job):
    """The states of one chain after some rounds."""

    method: Method
    method_name: str
    latents: Latents
    rounds: int


def _job(config: Config, dataset: str) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "dataset": dataset,
        "grid": config.datasets[dataset].grid,
        "device": config.limits.device,
        "max_batch": config.limits.max_batch,
    }


def draw(config: Config, dataset: str, method: str, shard: str | int) -> Draw:
    """The slice behind one shard of one method's images."""
    paper = config.papers.deq_ddim
    alone = paper.table_1.scores[dataset].model_copy(update={"methods": None})  # the others are not this job's concern
    return Draw(**_job(config, dataset), method=paper.methods[method], scores=alone, shard=int(shard))


def score(config: Config, dataset: str) -> Score:
    """The slice behind one data set's scores."""
    table, methods = config.papers.deq_ddim.table_1, config.papers.deq_ddim.methods
    return Score(
        **_job(config, dataset),
        methods={name: methods[name] for name in table.scored(dataset)},
        baseline=table.baseline,
        T=table.scores[dataset].T,
        extractor=config.datasets[dataset].extractor,
    )


def time(config: Config) -> Time:
    """The slice behind the times."""
    table, methods = config.papers.deq_ddim.table_1, config.papers.deq_ddim.methods
    limits: Limits = config.limits
    return Time(
        seed=config.seed,
        device=limits.device,
        max_batch=limits.max_batch,
        grids={name: config.datasets[name].grid for name in table.times},
        methods={name: methods[name] for name in table.timed},
        baseline=table.baseline,
        times=table.times,
    )


def trace(config: Config, dataset: str) -> TraceJob:
    """The slice behind one data set's share of figure 1."""
    figure: Figure1 = config.papers.deq_ddim.figure_1
    methods = {name: config.papers.deq_ddim.methods[name] for name in figure.methods}
    return TraceJob(**_job(config, dataset), methods=methods, trace=figure.datasets[dataset], rounds=figure.rounds)


def latents(config: Config, dataset: str) -> LatentsJob:
    """The slice behind one data set's share of figure 2."""
    figure = config.papers.deq_ddim.figure_2
    return LatentsJob(
        **_job(config, dataset),
        method=config.papers.deq_ddim.methods[figure.method],
        method_name=figure.method,
        latents=figure.datasets[dataset],
        rounds=figure.rounds,
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
