"""Slices behind the comparison of all samplers."""

from deqbench.config import Config, Method, Strict
from deqbench.config.comparison import Compared, Comparison
from deqbench.errors import UserError
from deqbench.jobs.common import Job, named, place


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
    compared: dict[str, dict[int, list[str]]]


def _comparison(config: Config) -> Comparison:
    section = config.papers.deq_ddim.comparison
    if section is None:
        raise UserError("papers.deq-ddim.comparison: expected a section; found none")
    return section


def compare(config: Config, problem: str, T: str | int) -> CompareJob:
    """The slice behind one problem's rounds, evaluations and errors. UserError: the config compares nothing."""
    section = _comparison(config)
    chains, compared = section.problems[problem], section.compared(problem, int(T))
    return CompareJob(
        **place(config, problem),
        methods=named(config, compared),
        compared=compared,
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
        grids={name: place(config, name)["grid"] for name in section.problems},
        methods=named(config, section.methods),
        baseline=paper.table_1.baseline,
        images={name: chains.timed for name, chains in section.problems.items() if chains.timed},
        compared={
            name: {T: list(section.compared(name, T)) for T in chains.timed}
            for name, chains in section.problems.items()
            if chains.timed
        },
    )
