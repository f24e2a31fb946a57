"""Slices behind the sampling tables and figures."""

from deqbench.config import Config, Figure1, Latents, Method, Scores, Strict, Times
from deqbench.errors import UserError
from deqbench.jobs.common import Job, named, place


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


class Solved(Strict):
    """A joint solve cut after some rounds."""

    name: str
    method: Method
    rounds: int


class LatentsJob(Job):
    """The states of some chains after some rounds of each solve."""

    solves: list[Solved]
    chains: list[Latents]


class SamplesJob(Job):
    """Images from one x_T at several eta."""

    method: Method
    method_name: str
    T: int
    eta: list[float]


def draw(config: Config, dataset: str, method: str, shard: str | int, experiment: str = "table-1") -> Draw:
    """The slice behind one shard of the images that the job `method` draws: one method's, or all of them."""
    paper = config.papers.deq_ddim
    table = paper.experiment(experiment)
    alone = table.scores[dataset].model_copy(update={"methods": None})  # the others are not this job's concern
    methods = {name: paper.methods[name] for name in table.drawn(dataset)[method]}
    return Draw(**place(config, dataset), methods=methods, eta=table.etas(dataset), scores=alone, shard=int(shard))


def score(config: Config, dataset: str, experiment: str = "table-1") -> Score:
    """The slice behind one data set's scores."""
    table, methods = config.papers.deq_ddim.experiment(experiment), config.papers.deq_ddim.methods
    return Score(
        **place(config, dataset),
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
        methods=named(config, table.timed),
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
    return TraceJob(**place(config, dataset), experiment=experiment, methods=methods, eta=figure.eta)


def latents(config: Config, dataset: str, experiment: str = "figure-2") -> LatentsJob:
    """The slice behind one data set's share of figure 2, 10 or 18."""
    paper = config.papers.deq_ddim
    figure = paper.experiment(experiment)
    solves = [
        Solved(name=solve.method, method=paper.methods[solve.method], rounds=solve.rounds)
        for solve in (figure, *figure.also)
    ]
    return LatentsJob(**place(config, dataset), solves=solves, chains=figure.datasets[dataset])


def samples(config: Config, dataset: str, experiment: str = "figure-12") -> SamplesJob:
    """The slice behind one data set's share of figure 12 or 13."""
    figure = config.papers.deq_ddim.experiment(experiment)
    return SamplesJob(
        **place(config, dataset),
        method=config.papers.deq_ddim.methods[figure.method],
        method_name=figure.method,
        T=figure.datasets[dataset],
        eta=figure.eta,
    )


def shard_images(total: int, shards: int, shard: int) -> range:
    """The images of one shard of `shards`. UserError: shard outside 0..shards-1."""
    if not 0 <= shard < shards:
        raise UserError(f"shard: expected 0 to {shards - 1}; found {shard}")
    return range(total * shard // shards, total * (shard + 1) // shards)
