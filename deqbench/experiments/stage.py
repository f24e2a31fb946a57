"""Stages as data: which files a step of an experiment makes from which others, and what its jobs are told.

A stage becomes one rule for each experiment of its kind, whose jobs differ in their *place*: the values of the
wildcards in the paths of what they write.
"""

import importlib
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from deqbench import provenance
from deqbench.config.strict import Strict
from deqbench.errors import UserError, unknown
from deqbench.experiments.scope import Scope

Place = dict[str, str]


def once(scope: Scope) -> list[Place]:
    """The places of a stage that is one job."""
    return [{}]


def nothing(scope: Scope, **place: str) -> dict[str, list[str]]:
    """The inputs of a stage that reads no files."""
    return {}


@dataclass(frozen=True)
class Section:
    """A section of the config, and a check of what it refers to: ValueError, as one sentence with its key."""

    form: Any  # its type, for pydantic
    check: Callable[[Scope], None] = lambda scope: None


@dataclass(frozen=True)
class Stage:
    """A step of a kind of experiment: what its jobs are told, write and read; measure.py has a function of its name."""

    job: Callable[..., Strict]  # (scope, **place) -> the job's slice of the config; its return type says which
    message: str  # with the wildcards of a place
    outputs: dict[str, str] | Callable[[Scope], dict[str, str]]  # by name: in the experiment's folder, or the paper's
    places: Callable[[Scope], Iterable[dict[str, Any]]] = once
    inputs: Callable[..., dict[str, list[str]]] = nothing  # (scope, **place) -> paths by name
    alone: bool = False  # takes times, so it wants the machine to itself
    local: bool = False  # arithmetic on records: no job for a cluster

    @property
    def name(self) -> str:
        """The name of the function that slices the config, and of that which does the job."""
        return self.job.__name__


@dataclass(frozen=True)
class Step:
    """A stage of one experiment at one scale, from which a rule is made; paths as seen from the repository."""

    kind: str  # below deqbench.experiments: deq_ddim.traces
    stage: Stage
    scope: Scope

    @property
    def rule(self) -> str:
        """The rule's name: deq_ddim_figure_1_trace."""
        return "_".join([*self._parents, self.stage.name]).replace("-", "_")

    @property
    def id(self) -> str:
        """The stage's name on the command line: deq_ddim.traces.trace."""
        return f"{self.kind}.{self.stage.name}"

    @property
    def code(self) -> str:
        """Digest of the modules behind the stage, so that its results go stale when they change."""
        outside = provenance.outside(self.scope.shared.model_dump()) if self.scope.shared else ()
        return provenance.code_digest(f"deqbench.experiments.{self.kind}.measure", outside=outside)

    @property
    def message(self) -> str:
        """A line about a job, with snakemake's wildcards."""
        words = self.stage.message.replace("{", "{wildcards.") + ", alone on the machine" * self.stage.alone
        return ": ".join(["/".join(self._parents), words]).removeprefix(": ")

    @property
    def log(self) -> str:
        """The log of a job, with wildcards."""
        wildcards = [f"{{{name}}}" for name in self.constraints]
        return "/".join([self.scope.results, "logs", *self._parents, self.stage.name, *wildcards]) + ".log"

    @property
    def outputs(self) -> dict[str, str]:
        """Paths by name, with wildcards; one that ends with a slash is a folder."""
        if callable(paths := self.stage.outputs):
            return {name: f"{self.scope.folder}/{path}" for name, path in paths(self.scope).items()}
        return {name: f"{self.scope.own}/{path}" for name, path in paths.items()}

    @cached_property
    def places(self) -> list[Place]:
        """The places of all jobs."""
        return [{name: str(value) for name, value in place.items()} for place in self.stage.places(self.scope)]

    @cached_property
    def constraints(self) -> dict[str, str]:
        """The values that each wildcard takes, as a pattern."""
        names = self.places[0] if self.places else {}
        return {name: "|".join(dict.fromkeys(place[name] for place in self.places)) for name in names}

    @property
    def made(self) -> list[str]:
        """All files of all jobs."""
        return [path.format(**place) for place in self.places for path in self.outputs.values()]

    def inputs(self, place: Any) -> dict[str, list[str]]:
        """Paths by name of the job at a place, a mapping or snakemake's wildcards."""
        return {name: paths for name, paths in self.stage.inputs(self.scope, **dict(place.items())).items() if paths}

    def words(self, wildcards: Any) -> str:
        """The command line of a job after `deqbench`: its slice of the config as JSON, and its files by name.

        A function of the wildcards alone: snakemake does not look for changes in params that ask for input or output.
        """
        place = dict(wildcards.items())
        files = [("input", name, path) for name, paths in self.inputs(wildcards).items() for path in paths]
        files += [("output", name, path.format(**place).removesuffix("/")) for name, path in self.outputs.items()]
        given = [f"--{option} {shlex.quote(f'{name}={path}')}" for option, name, path in files]
        settings = self.stage.job(self.scope, **place).model_dump_json()
        return " ".join(["run", self.id, *given, "--settings", shlex.quote(settings)])

    @property
    def source(self) -> str:
        """The file whose functions do the stages of the kind, relative to the repository."""
        return source(self.kind)

    @property
    def alone(self) -> bool:
        """Whether a job wants the machine to itself."""
        return self.stage.alone

    @property
    def local(self) -> bool:
        """Whether a job is too small for a cluster."""
        return self.stage.local

    @property
    def _parents(self) -> list[str]:
        return [name for name in (self.scope.paper, self.scope.experiment) if name]


def source(kind: str) -> str:
    """The file whose functions do the stages of a kind, relative to the repository."""
    return f"deqbench/experiments/{kind.replace('.', '/')}/measure.py"


def module(kind: str, name: str) -> Any:
    """The module of that name of a kind: config, job or measure."""
    return importlib.import_module(f"deqbench.experiments.{kind}.{name}")


def named(id: str) -> tuple[str, Stage]:
    """The kind and the stage of an id such as deq_ddim.traces.trace. UserError: there is none."""
    kind, _, name = id.rpartition(".")
    try:
        known = {stage.name: stage for stage in module(kind, "job").STAGES}
    except ModuleNotFoundError as error:
        raise UserError(f"stage: expected <paper>.<kind>.<stage>; found '{id}'") from error
    if name not in known:
        raise unknown(f"stage of {kind}", name, known)
    return kind, known[name]


def slice_type(stage: Stage) -> type[Strict]:
    """The type of what the stage's jobs are told."""
    return get_type_hints(stage.job)["return"]
