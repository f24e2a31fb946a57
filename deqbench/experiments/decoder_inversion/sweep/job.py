"""A job a model for errors by iteration, one that times all methods, and a job a model for seconds to each level."""

from deqbench.config.strict import Strict
from deqbench.experiments.decoder_inversion.shared import (
    DecoderSlice,
    Inverter,
    Model,
    ModelSlice,
    autoencoder_and_targets_of,
    model_slice,
    models_of,
    resolved,
    targets_of,
)
from deqbench.experiments.decoder_inversion.sweep.config import Ladder, Sweep, Swept
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage, once


class SweepJob(ModelSlice):
    """The inversions of one model's targets, by every method, at every budget."""

    inverters: dict[str, Inverter]
    budgets: dict[str, list[int]]  # by method, rising
    images: int | None  # of the test targets; None: all
    all_rates: bool
    dense: int
    record_every: int
    to_plateau: list[str]
    plateau: float  # dB within `within` iterations
    within: int


class Timed(Strict):
    """The timed runs of one model."""

    model: Model
    methods: list[str]
    images: int


class TimesJob(DecoderSlice):
    """Seconds of every method on one image at a time, in turn, of all models that are timed."""

    models: dict[str, Timed]
    inverters: dict[str, Inverter]
    budgets: dict[str, list[int]]  # timed ones, by method, the start alone (0) among them


class LadderJob(Strict):
    """Seconds to each level of error of one model, and to the declared budgets."""

    paper: str
    experiment: str
    dataset: str  # the model's name
    ladder: Ladder
    budgets: dict[str, list[int]]  # by method


def sweep(scope: Scope, dataset: str) -> SweepJob:
    """The slice behind one model's inversions. UserError: it is not swept."""
    section: Sweep = scope.section
    share: Swept = scope.part("models", dataset)
    return SweepJob(
        **model_slice(scope, dataset),
        **share.model_dump(include={"images", "all_rates", "to_plateau"}),
        **section.model_dump(include={"dense", "record_every"}),
        **section.ladder.model_dump(include={"plateau", "within"}),
        inverters=resolved(scope, share.inverters),
        budgets=share.by_method,
    )


def times(scope: Scope) -> TimesJob:
    """The slice behind the times of all methods on all models that are timed."""
    section: Sweep = scope.section
    timed = {name: section.models[name] for name in _timed(scope)}
    names = dict.fromkeys(name for share in timed.values() for name in share.inverters)
    return TimesJob(
        **scope.slice,
        models={
            name: Timed(model=scope.shared.models[name], methods=share.inverters, images=share.timed)
            for name, share in timed.items()
        },
        inverters=resolved(scope, names),
        budgets={name: sorted({0, *section.timed_more.get(name, section.timed_iterations)}) for name in names},
    )


def ladder(scope: Scope, dataset: str) -> LadderJob:
    """The slice behind one model's seconds by level of error. UserError: it is not swept."""
    share: Swept = scope.part("models", dataset)
    return LadderJob(
        paper=scope.paper,
        experiment=scope.experiment,
        dataset=dataset,
        ladder=scope.section.ladder,
        budgets=share.by_method,
    )


def _timed(scope: Scope) -> list[str]:
    return [name for name, share in scope.section.models.items() if share.timed]


def _timed_inputs(scope: Scope) -> dict[str, list[str]]:
    models = _timed(scope)
    autoencoders = scope.networks(scope.shared.models[name].autoencoder for name in models)
    return {"autoencoder": autoencoders, "targets": targets_of(scope, models)}


def _ladder_inputs(scope: Scope, dataset: str) -> dict[str, list[str]]:
    return {"traces": [f"{scope.own}/{dataset}/traces.parquet"], "times": [f"{scope.own}/times.csv"]}


STAGES = (
    Stage(
        sweep,
        "every method on {dataset}",
        {"errors": "{dataset}/errors.csv", "traces": "{dataset}/traces.parquet"},
        models_of,
        autoencoder_and_targets_of,
    ),
    Stage(
        times,
        "times of every method",
        {"times": "times.csv"},
        lambda scope: once(scope) * bool(_timed(scope)),
        _timed_inputs,
        alone=True,
    ),
    Stage(
        ladder,
        "seconds to each level of error on {dataset}",
        {"seconds": "{dataset}/seconds.csv", "ladder": "{dataset}/ladder.csv", "points": "{dataset}/points.parquet"},
        lambda scope: [{"dataset": name} for name in _timed(scope)],
        _ladder_inputs,
        local=True,
    ),
)
