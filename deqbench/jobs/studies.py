"""Slices behind the studies beside the paper's exhibits."""

from typing import Any

import deqbench.papers
from deqbench.config import Config, Method
from deqbench.config.inversion import Inverter
from deqbench.config.studies import Costs, Cycles, Gradients, InversionMemory, Workers
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


class GradientsJob(Job):
    """Gradients of the inversion loss beside the exact one."""

    gradients: Gradients


class InversionMemoryJob(Job):
    """Bytes by T of gradients and inverters."""

    memory: InversionMemory
    inverters: dict[str, Inverter]
    released: dict[str, Any]  # the released code's settings of its gradient


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


def gradients(config: Config, dataset: str) -> GradientsJob:
    """The slice behind one data set's gradients."""
    return GradientsJob(**place(config, dataset), gradients=config.papers.deq_ddim.gradients[dataset])


def inversion_memory(config: Config, dataset: str) -> InversionMemoryJob:
    """The slice behind one data set's memory of inversion."""
    section, known = config.papers.deq_ddim.inversion_memory[dataset], config.papers.deq_ddim.inverters
    released = deqbench.papers.preset("deq-ddim", "inversion-released")
    return InversionMemoryJob(
        **place(config, dataset),
        memory=section,
        inverters={name: known[name] for name in section.inverters},
        released={key: value for key, value in released.items() if key not in ("gradient", "warm_start")},
    )
