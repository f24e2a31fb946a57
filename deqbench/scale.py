"""One scale as types: what runs, on what, how large. Its papers' sections are put together from their experiments'.

A paper's experiments and their kinds are named in its paper.yaml; no paper, and no experiment of one, is required. The
methods that all scales know stand in its methods.yaml; a config may replace one, as a whole, or add others.
"""

from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError, create_model, model_validator

from deqbench import papers
from deqbench.config.reading import read
from deqbench.config.sentences import checked, sentence
from deqbench.config.strict import Name, Strict
from deqbench.data.sources import SOURCE, Checkpoint, Dataset
from deqbench.errors import UserError, unknown
from deqbench.experiments import stage
from deqbench.experiments.named import all_known
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section, Step
from deqbench.papers.reading import methods_file

PREPARED = "inputs"  # the kind that makes data sets, networks and features: no experiment, and of no paper


class PaperSection(Strict):
    """The experiments of one paper, and what they share."""

    paper: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _over_the_catalogue(cls, values: Any) -> Any:
        """The values, the paper's catalogue before them: a name in both is the config's, in the catalogue's place."""
        if not isinstance(values, dict):
            return values
        laid = dict(values)
        for part, known in papers.catalogue(cls.paper).items():
            if isinstance(own := values.get(part, {}), dict):
                laid[part] = {**known, **own}
        return laid

    def experiment(self, name: str) -> Any:
        """The section of that name, such as table-1; None where this scale has none."""
        return getattr(self, name.replace("-", "_"), None)


@cache
def kinds(paper: str) -> dict[str, tuple[str, str]]:
    """Kind and part of it by experiment; a paper says `traces`, `iterates.theorems`, or another's `deq-ddim/traces`."""
    named: dict[str, tuple[str, str]] = {}
    for experiment, kind in papers.experiments(paper).items():
        owner, _, rest = kind.rpartition("/")
        folder, _, part = rest.partition(".")
        named[experiment] = (f"{owner or paper}.{folder}".replace("-", "_"), part)
    return named


def sections(kind: str) -> dict[str, Section | None]:
    """The sections that experiments of a kind have, by part; None: one without a section, always there."""
    return stage.module(kind, "config").SECTIONS


def shared_parts(paper: str) -> list[Any]:
    """The modules of what experiments of a paper share: of the paper whose kinds they are."""
    return [
        stage.module(owner, "shared")
        for owner in dict.fromkeys(kind.split(".")[0] for kind, _ in kinds(paper).values())
    ]


def _shared_fields(paper: str) -> dict[str, Any]:
    return {name: field for shared in shared_parts(paper) for name, field in shared.SHARED.items()}


def _paper_section(paper: str) -> type[PaperSection]:
    fields = _shared_fields(paper)
    for experiment, (kind, part) in kinds(paper).items():
        if section := sections(kind)[part]:
            fields[experiment.replace("-", "_")] = (section.form | None, Field(None, alias=experiment))
    about = f"Experiments of {papers.about(paper).short}."
    made: type[PaperSection] = create_model(f"{paper}-section", __base__=PaperSection, __doc__=about, **fields)
    made.paper = paper
    return made


class PapersBase(Strict):
    """Experiments by paper."""

    def of(self, paper: str) -> Any:
        """The section of a paper by its id; None where this scale has none."""
        return getattr(self, paper.replace("-", "_"), None)


_PAPERS: dict[str, Any] = {
    paper.replace("-", "_"): (_paper_section(paper) | None, Field(None, alias=paper))
    for paper in papers.PAPERS
    if papers.experiments(paper)
}
Papers: Any = create_model("Papers", __base__=PapersBase, **_PAPERS)


class Limits(Strict):
    """Resources that the rules declare, for clusters; overridable there."""

    runtime: int = Field(30, ge=1, description="minutes of one job")
    mem_mb: int = Field(4000, ge=500, description="memory of one job, MB")
    threads: int = Field(1, ge=1, description="threads of one scoring job; timing jobs claim every core")
    gpu: int = Field(0, ge=0, description="GPUs of one job")
    device: Literal["cpu", "cuda"] = "cpu"
    max_batch: int = Field(256, ge=1, description="images in one call of the network; more are split")


class Config(Strict):
    """One scale: what runs, on what, how large."""

    scale: Name = Field(description="names results/<scale> and reports/<scale>")
    seed: int = Field(ge=0, description="every random draw follows from it")
    limits: Limits = Limits()
    datasets: dict[Name, Dataset] = Field({}, description="by name")
    networks: dict[Name, Checkpoint] = Field({}, description="autoencoders and latent models, by name")
    papers: Papers = Papers()

    @property
    def measured(self) -> list[str]:
        """The papers that this scale has experiments of."""
        return [paper for paper in papers.PAPERS if self.papers.of(paper) is not None]

    @property
    def scopes(self) -> list[Scope]:
        """The experiments that this scale has, by paper in the order of their papers."""
        return [
            Scope(self, paper, experiment)
            for paper in self.measured
            for experiment, (kind, part) in kinds(paper).items()
            if sections(kind)[part] is None or self.papers.of(paper).experiment(experiment) is not None
        ]

    @property
    def subjects(self) -> dict[str, Any]:
        """All that records name as data sets: the data sets, then those parts of papers that stand in for others."""
        parts = [
            getattr(self.papers.of(paper), part)
            for paper in self.measured
            for shared in shared_parts(paper)
            for part in shared.SUBJECTS
        ]
        return {**self.datasets, **{name: subject for part in parts for name, subject in part.items()}}

    @property
    def steps(self) -> list[Step]:
        """Every stage of every experiment that has jobs at this scale, those that make their inputs first."""
        made = [Step(PREPARED, prepared, Scope(self, "", "")) for prepared in stage.module(PREPARED, "job").STAGES]
        for scope in self.scopes:
            kind, part = kinds(scope.paper)[scope.experiment]
            made += [Step(kind, each, scope) for each in stage.module(kind, "job").STAGES * (not part)]
        return [step for step in made if step.places]

    @model_validator(mode="after")
    def _sources_fit(self) -> "Config":
        for name, dataset in self.datasets.items():
            values = {"source": dataset.source, **dataset.options}
            try:
                SOURCE.validate_python(values)
            except ValidationError as error:
                key, _, words = sentence(error.errors()[0], SOURCE, values).partition(": ")
                raise ValueError(f"@datasets.{name}.options.{key}@{words}") from error
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        for paper in self.measured:
            for shared in shared_parts(paper):
                shared.check(Scope(self, paper, ""))
        for scope in self.scopes:
            kind, part = kinds(scope.paper)[scope.experiment]
            if section := sections(kind)[part]:
                all_known(scope)
                section.check(scope)
        return self


@cache
def _check_catalogue(paper: str) -> None:
    """UserError: the file of a paper's methods, key, what was expected and found; it is checked as a config is."""
    source, parts = str(methods_file(paper)), papers.catalogue(paper)
    for part in parts:
        if part not in (known := _shared_fields(paper)):
            raise unknown(source, part, [*known, "presets"])
    try:
        checked(TypeAdapter(Config), {"scale": "none", "seed": 0, "papers": {paper: parts}}, source)
    except UserError as error:
        raise UserError(str(error).replace(f": papers.{paper}.", ": ", 1)) from error


def validate(values: Any, source: str) -> Config:
    """The config in a mapping. UserError: one sentence that names `source`, the key, what was expected and found.

    `source` is the file of a paper's methods where the fault is there.
    """
    for paper in papers.PAPERS:
        if papers.experiments(paper):
            _check_catalogue(paper)
    return checked(TypeAdapter(Config), values, source)


def load(path: str | Path) -> Config:
    """The config in a YAML or JSON file. UserError: as for `validate`, and where there is no such file."""
    return validate(read(path), str(path))
