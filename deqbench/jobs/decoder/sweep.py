"""Slices behind the sweeps over decoder inverters, their times, and what both say together."""

from typing import Any

from deqbench.config import Config, Strict
from deqbench.config.decoder import DecoderInverter
from deqbench.config.decoder.sweep import Ladder, Sweep, Swept
from deqbench.errors import UserError
from deqbench.jobs.decoder.common import DecoderJob, paper, place


class SweepJob(DecoderJob):
    """The inversions of one model's targets, by every method, at every budget."""

    inverters: dict[str, DecoderInverter]
    budgets: dict[str, list[int]]  # by method, rising
    images: int | None  # of the test targets; None: all
    all_rates: bool
    dense: int
    record_every: int
    to_plateau: list[str]
    plateau: float  # dB within `within` iterations
    within: int


class Sweeps(Strict):
    """The sweeps that one process makes."""

    models: dict[str, SweepJob]


class TimeSweep(Strict):
    """Seconds of every method on one image at a time, in turn, of all models that are timed."""

    models: dict[str, DecoderJob]
    inverters: dict[str, DecoderInverter]
    methods: dict[str, list[str]]  # by model
    budgets: dict[str, list[int]]  # timed ones, by method, the start alone (0) among them
    images: dict[str, int]  # by model


class LadderJob(Strict):
    """Seconds to each level of error of one model, and to the declared budgets."""

    name: str
    ladder: Ladder
    budgets: dict[str, list[int]]  # by method


def section(config: Config) -> Sweep:
    """The paper's sweep. UserError: this scale has none."""
    found = paper(config).sweep
    if found is None:
        raise UserError("papers.decoder-inversion.sweep: expected a section; found none")
    return found


def swept(config: Config, model: str) -> Swept:
    """The sweep of one model. UserError: it is not swept."""
    found = section(config).models.get(model)
    if found is None:
        raise UserError(f"papers.decoder-inversion.sweep.models: expected '{model}'; found none of that name")
    return found


def sweep(config: Config, model: str | None = None) -> Sweeps:
    """The slice behind one model's inversions, or those of all models that share a process."""
    shared = [name for name, found in section(config).models.items() if found.shared]
    return Sweeps(models={name: _sweep(config, name) for name in ([model] if model else shared)})


def _sweep(config: Config, model: str) -> SweepJob:
    found, whole = swept(config, model), section(config)
    return SweepJob(
        **place(config, model),
        inverters={name: paper(config).inverters[name] for name in found.inverters},
        budgets={name: found.named(name) for name in found.inverters},
        images=found.images,
        all_rates=found.all_rates,
        dense=whole.dense,
        record_every=whole.record_every,
        to_plateau=found.to_plateau,
        plateau=whole.ladder.plateau,
        within=whole.ladder.within,
    )


def time_sweep(config: Config) -> TimeSweep:
    """The slice behind the times of all methods on all models that are timed."""
    found, known = section(config), paper(config).inverters
    timed = {name: share for name, share in found.models.items() if share.timed}
    methods = {name: share.inverters for name, share in timed.items()}
    names: dict[str, Any] = dict.fromkeys(name for share in methods.values() for name in share)
    return TimeSweep(
        models={name: DecoderJob(**place(config, name)) for name in timed},
        inverters={name: known[name] for name in names},
        methods=methods,
        budgets={name: sorted({0, *found.timed_more.get(name, found.timed_iterations)}) for name in names},
        images={name: share.timed for name, share in timed.items()},
    )


def ladder(config: Config, model: str) -> LadderJob:
    """The slice behind one model's seconds by level of error."""
    found = swept(config, model)
    return LadderJob(
        name=model,
        ladder=section(config).ladder,
        budgets={name: found.named(name) for name in found.inverters},
    )
