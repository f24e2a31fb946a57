"""One job for what needs no data, one a training that is followed, one for the runaway, one a model that is counted."""

from typing import Any

from deqbench.config.recipes import Equilibrium, Preparation
from deqbench.experiments.deq_score_matching.phantom.config import (
    Contraction,
    Counted,
    Followed,
    Iterations,
    Propositions,
    Runaway,
    Unbounded,
)
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage

STUDIES = ("contraction", "unbounded")  # beside the propositions


class StudyJob(Slice):
    """What is known in float64, without data."""

    propositions: Propositions
    contraction: Contraction | None
    unbounded: Unbounded | None


class FollowJob(Slice):
    """One training."""

    dataset: str
    name: str
    method: Followed
    form: Equilibrium
    preparation: Preparation
    first_seed: int  # of weights and draws
    every: int
    late: float
    kept: int
    iterations: Iterations | None  # none: rounds are not counted


class RunawayJob(Slice):
    """One shipped model."""

    dataset: str
    runaway: Runaway


class CountJob(Slice):
    """One model of another experiment."""

    dataset: str
    name: str
    model: Counted
    section: dict[str, Any]  # of the experiment that has trained it
    iterations: Iterations


def study(scope: Scope) -> StudyJob:
    """The slice of all studies."""
    others = {name: scope.shared.experiment(name) for name in STUDIES}
    return StudyJob(**scope.slice, propositions=scope.section, **others)


def _study_outputs(scope: Scope) -> dict[str, str]:
    paths = {"derivatives": "propositions/derivatives.csv", "series": "propositions/series.csv"}
    return paths | {name: f"{name}/all.csv" for name in STUDIES if scope.shared.experiment(name)}


def follow(scope: Scope, dataset: str, method: str, seed: str) -> FollowJob:
    """The slice of one training."""
    section, counted = scope.shared.experiment("phantom-error"), scope.shared.experiment("table-10")
    if counted is not None:
        counted = counted.model_copy(update={"models": {}})
    own = section.model_dump(include={"form", "preparation", "every", "late", "kept"})
    told = {"name": method, "method": section.methods[method], "first_seed": int(seed), "iterations": counted}
    return FollowJob(**scope.slice | {"experiment": "phantom-error"}, dataset=dataset, **own, **told)


def _follow_outputs(scope: Scope) -> dict[str, str]:
    place = "{dataset}/{method}/{seed}"
    names = {"steps": "steps.csv", "steps_drawn": "steps.parquet", "rows": "rows.parquet"}
    paths = {name: f"phantom-error/{place}/{file}" for name, file in names.items()}
    return paths | ({"rounds": f"table-10/{place}.csv"} if scope.shared.experiment("table-10") else {})


def _followed(scope: Scope) -> list[dict[str, Any]]:
    """A place a training."""
    if (section := scope.shared.experiment("phantom-error")) is None:
        return []
    return [
        {"dataset": dataset, "method": method, "seed": seed}
        for dataset in section.datasets
        for method in section.methods
        for seed in section.seeds
    ]


def runaway(scope: Scope) -> RunawayJob:
    """The slice of the runaway."""
    section: Runaway = scope.shared.experiment("runaway")
    return RunawayJob(**scope.slice | {"experiment": "runaway"}, dataset=section.dataset, runaway=section)


def count(scope: Scope, model: str) -> CountJob:
    """The slice of one model's rounds."""
    section: Iterations = scope.shared.experiment("table-10")
    counted = section.models[model]
    trained = scope.shared.experiment(counted.experiment).model_dump()
    about = {"dataset": counted.dataset, "name": model, "model": counted, "section": trained}
    own = section.model_copy(update={"models": {}})
    return CountJob(**scope.slice | {"experiment": "table-10"}, **about, iterations=own)


def _counted(scope: Scope) -> list[dict[str, Any]]:
    """A place a model of another experiment."""
    section = scope.shared.experiment("table-10")
    return [] if section is None else [{"model": name} for name in section.models]


def _weights(scope: Scope, model: str) -> dict[str, list[str]]:
    counted = scope.shared.experiment("table-10").models[model]
    weights = f"{scope.folder}/{counted.experiment}/{counted.weights}"
    return {"weights": [weights], "data": scope.datasets([counted.dataset])}


STAGES = (
    Stage(study, "propositions and their like", _study_outputs),
    Stage(
        follow,
        "{method} on {dataset}, seed {seed}",
        _follow_outputs,
        _followed,
        lambda scope, dataset, **_: {"data": scope.datasets([dataset])},
    ),
    Stage(
        runaway,
        "the runaway",
        lambda scope: {"losses": "runaway/losses.csv", "course": "runaway/course.parquet"},
        lambda scope: [{}] if scope.shared.experiment("runaway") else [],
    ),
    Stage(count, "rounds of {model}", lambda scope: {"rounds": "table-10/{model}.csv"}, _counted, _weights),
)
