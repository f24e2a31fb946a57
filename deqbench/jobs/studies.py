"""Slices behind the studies beside the paper's exhibits."""

from deqbench.config import Config, Method
from deqbench.config.studies import Costs, Cycles, Workers
from deqbench.jobs.common import Job, named, place


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
    return CostsJob(**place(config, dataset), methods=named(config, section.methods), costs=section)


def cycles(config: Config, dataset: str) -> CyclesJob:
    """The slice behind one data set's long solves."""
    section = config.papers.deq_ddim.cycles[dataset]
    return CyclesJob(**place(config, dataset), methods=named(config, section.methods), cycles=section)


def workers(config: Config, dataset: str) -> WorkersJob:
    """The slice behind one data set's times by number of workers."""
    section = config.papers.deq_ddim.workers[dataset]
    method = config.papers.deq_ddim.methods[section.method]
    return WorkersJob(**place(config, dataset), method=method, workers=section)
