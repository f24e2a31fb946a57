"""The sections of a config as types, with what each key means; unknown keys are refused."""

from collections.abc import Container, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from deqbench.config import methods
from deqbench.config.comparison import MIXTURES, Comparison
from deqbench.config.strict import Name, One, Steps, Strict
from deqbench.config.studies import Costs, Cycles, Workers
from deqbench.errors import did_you_mean

Source = Literal["digits", "tissue", "cifar10", "folder"]
Grid = Literal["uniform-released", "uniform-paper", "quadratic-paper", "quadratic-released"]
Eta = Annotated[float, Field(ge=0, le=1)]

# Experiments of one shape, which share rules and commands.
SCORED = ("table-1", "table-2", "table-4")
TRACED = ("figure-1", "figure-11")
LATENT = ("figure-2", "figure-18")
SAMPLED = ("figure-12", "figure-13")


class Checkpoint(Strict):
    """Where a noise-prediction network in diffusers' format comes from."""

    source: Literal["zoo", "folder", "hub"] = Field(description="shipped model, local folder, or a hub's repository")
    name: str = Field(description="zoo model, path of the folder, or repository id such as google/ddpm-cifar10-32")
    revision: str | None = Field(None, description="commit or tag of the repository")
    subfolder: str | None = Field(None, description="folder of the network inside the repository")
    sha256: dict[str, str] = Field({}, description="expected checksum by file name; a mismatch is an error")


class Dataset(Strict):
    """A data set, the network trained on it and the features it is scored with."""

    source: Source = Field(description="a function of deqbench.data.datasets")
    options: dict[str, str | int] = Field({}, description="options of the source, such as root")
    checkpoint: Checkpoint
    extractor: str = Field(description="a zoo classifier's name, or inception")
    grid: Grid = Field("uniform-released", description="how a chain's timesteps are chosen from the training chain")
    stands_in_for: str | None = Field(None, description="the printed row that this data set stands in for")
    printed_as: str | None = Field(None, description="the printed row that this data set is")

    @model_validator(mode="after")
    def _one_row(self) -> "Dataset":
        if self.stands_in_for and self.printed_as:
            raise ValueError("expected one of stands_in_for, printed_as; found both")
        return self


class Method(Strict):
    """A sampler and its settings, and the chain that it walks or solves."""

    sampler: Name = Field(description="a module of deqbench.diffusion.samplers")
    preset: Name | None = Field(None, description="named settings of the paper: paper, released")
    eta: Eta = Field(0.0, description="0 is DDIM, 1 is DDPM")
    variance: Literal["posterior", "large"] = Field("posterior", description="the noise's variance at eta 1")
    options: dict[str, Any] = Field({}, description="settings of the sampler, over those of the preset")


class Scores(Strict):
    """Which chains are sampled for the scores of one data set."""

    T: Steps = Field(description="steps of the chain")
    images: int = Field(ge=40, description="images per method and T; intervals are jackknifed over 20 blocks of them")
    shards: int = Field(1, ge=1, description="jobs that share the images of one method")
    methods: list[Name] | None = Field(None, min_length=1, description="of the methods scored, those scored here")


class Times(Strict):
    """Which chains are timed for one data set, one image at a time."""

    T: Steps
    repeats: int = Field(ge=2, description="timed runs per method and T, interleaved, after a warm-up")
    longest_s: float = Field(10.0, gt=0, description="a method's repeats stop (at three or more) past it")


class Table1(Strict):
    """Scores and times of single-image sampling. Source: DEQ-DDIM, table 1."""

    methods: list[Name] = Field(min_length=1, description="methods scored, the baseline among them")
    baseline: Name = Field("ddim", description="the method that the others are compared with, pair by pair")
    timed: list[Name] = Field(min_length=1, description="methods timed")
    scores: dict[Name, Scores]
    times: dict[Name, Times]

    def scored(self, dataset: str) -> list[str]:
        """The methods whose images of a data set are scored."""
        return self.scores[dataset].methods or self.methods

    def drawn(self, dataset: str) -> dict[str, list[str]]:
        """The methods whose images of a data set one job draws, by that job's name.

        Without shards one job draws all of them: it starts once for many short chains.
        """
        names = self.scored(dataset)
        return {name: [name] for name in names} if self.scores[dataset].shards > 1 else {"every-method": names}

    def etas(self, dataset: str) -> list[float]:
        """The eta that every method is walked at; none: each at its own."""
        return []


class Table2(Table1):
    """The same of stochastic chains, at several eta. Source: DEQ-DDIM, tables 2 and 4."""

    eta: dict[Name, list[Eta]] = Field(
        description="by data set: methods are walked at each, those with an eta of their own at that only"
    )

    def etas(self, dataset: str) -> list[float]:
        """As in the config."""
        return self.eta[dataset]


class Also(Strict):
    """One more method, traced at its own T and for its own number of rounds."""

    runs: dict[int, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    rounds: int = Field(ge=1, description="solver steps recorded")


class Trace(Strict):
    """Chains whose joint solve is recorded round by round for one data set."""

    runs: dict[int, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    also: dict[Name, Also] = Field({}, description="further methods, at some T only")


class Figure1(Strict):
    """The joint residual and the error of x0 over solver steps. Source: DEQ-DDIM, figures 1 and 11."""

    methods: list[Name] = Field(min_length=1)
    eta: list[Eta] = Field([], description="methods are traced at each; none: at their own")
    rounds: int = Field(ge=1, description="solver steps recorded")
    datasets: dict[Name, Trace]


class Latents(Strict):
    """A chain whose states are shown after some rounds."""

    T: int = Field(ge=10)
    every: int = Field(ge=1, description="every which state is shown, with x_0 to x_4")


class Figure2(Strict):
    """States of the chain after a few solver steps. Source: DEQ-DDIM, figures 2 and 18."""

    method: Name
    rounds: int = Field(ge=1)
    datasets: dict[Name, Annotated[list[Latents], One, Field(min_length=1)]]


class Figure12(Strict):
    """Images from one x_T at several eta. Source: DEQ-DDIM, figures 12 and 13."""

    method: Name
    eta: list[Eta] = Field(min_length=1)
    datasets: dict[Name, Annotated[int, Field(ge=1)]] = Field(description="T by data set")


class DeqDdim(Strict):
    """Experiments of the DEQ-DDIM paper."""

    methods: dict[Name, Method]
    table_1: Table1 = Field(alias="table-1")
    figure_1: Figure1 = Field(alias="figure-1")
    figure_2: Figure2 = Field(alias="figure-2")
    table_2: Table2 | None = Field(None, alias="table-2")
    table_4: Table2 | None = Field(None, alias="table-4")
    figure_11: Figure1 | None = Field(None, alias="figure-11")
    figure_12: Figure12 | None = Field(None, alias="figure-12")
    figure_13: Figure12 | None = Field(None, alias="figure-13")
    figure_18: Figure2 | None = Field(None, alias="figure-18")
    comparison: Comparison | None = None
    costs: dict[Name, Costs] = Field({}, description="a study, by data set")
    cycles: dict[Name, Cycles] = Field({}, description="a study, by data set")
    workers: dict[Name, Workers] = Field({}, description="a study, by data set")

    def experiment(self, name: str) -> Any:
        """The section of that name, such as table-1; None where this scale has none."""
        return getattr(self, name.replace("-", "_"), None)

    def sections(self, *names: str) -> dict[str, Any]:
        """Those of the experiments named that this scale has."""
        return {name: section for name in names if (section := self.experiment(name)) is not None}

    def names(self, datasets: Container[str]) -> Iterator[tuple[str, str, Container[str]]]:
        """Key, name found and names known of everything that a section refers to."""
        for name, table in self.sections(*SCORED).items():
            for key in ("methods", "timed"):
                yield from ((f"{name}.{key}", method, self.methods) for method in getattr(table, key))
            for key in ("scores", "times"):
                yield from ((f"{name}.{key}", dataset, datasets) for dataset in getattr(table, key))
            for dataset in table.scores:
                scored = table.scored(dataset)
                yield from ((f"{name}.scores.{dataset}.methods", method, table.methods) for method in scored)
                yield f"{name}.baseline", table.baseline, scored
        for name, figure in self.sections(*TRACED, *LATENT, *SAMPLED).items():
            used = figure.methods if name in TRACED else [figure.method]
            yield from ((f"{name}.method{'s' * (name in TRACED)}", method, self.methods) for method in used)
            yield from ((f"{name}.datasets", dataset, datasets) for dataset in figure.datasets)
        for name, figure in self.sections(*TRACED).items():
            for dataset, trace in figure.datasets.items():
                yield from ((f"{name}.datasets.{dataset}.also", method, self.methods) for method in trace.also)
        for name in ("costs", "cycles", "workers"):
            for dataset, study in self.experiment(name).items():
                yield name, dataset, datasets
                used = [study.method] if name == "workers" else study.methods
                yield from ((f"{name}.{dataset}.methods", method, self.methods) for method in used)


class Papers(Strict):
    """Experiments by paper."""

    deq_ddim: DeqDdim = Field(alias="deq-ddim")


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
    datasets: dict[Name, Dataset]
    papers: Papers

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        paper = self.papers.deq_ddim
        for key, found, known in paper.names(self.datasets):
            _known(f"papers.deq-ddim.{key}", found, known)
        for name, method in paper.methods.items():
            key = f"papers.deq-ddim.methods.{name}"
            _known(f"{key}.sampler", method.sampler, methods.modules("diffusion/samplers"))
            known = methods.presets("deq-ddim")
            if method.preset:
                _known(f"{key}.preset", method.preset, known)
            options = {**known.get(method.preset or "", {}), **method.options}
            if wrong := methods.wrong_option("diffusion/samplers", method.sampler, options):
                option, words = wrong.split(": ", 1)
                place = "options" if option in method.options else f"preset {method.preset}"
                raise ValueError(f"@{key}.{place}.{option}@{words}")
        return self

    @model_validator(mode="after")
    def _etas_fit(self) -> "Config":
        known = self.papers.deq_ddim.methods
        for name, table in self.papers.deq_ddim.sections("table-2", "table-4").items():
            key = f"papers.deq-ddim.{name}"
            if known[table.baseline].eta:
                raise ValueError(f"@{key}.baseline@expected a method of eta 0, to be walked at each; found another")
            for dataset in (*table.scores, *table.times):
                if dataset not in table.eta:
                    raise ValueError(f"@{key}.eta.{dataset}@expected a list of eta; found none")
            for dataset in table.scores:
                for method in table.scored(dataset):
                    own, etas = known[method].eta, table.eta[dataset]
                    if own and own not in etas:
                        raise ValueError(
                            f"@{key}.eta.{dataset}@expected {own:g} among them, for {method}; found {etas}"
                        )
        return self

    @model_validator(mode="after")
    def _comparison_fits(self) -> "Config":
        paper, compared = self.papers.deq_ddim, self.papers.deq_ddim.comparison
        if compared is None:
            return self
        key = "papers.deq-ddim.comparison"
        _known(f"{key}.methods", paper.table_1.baseline, compared.methods)
        for name in compared.methods:
            _known(f"{key}.methods", name, paper.methods)
            if paper.methods[name].eta:
                raise ValueError(f"@{key}.methods.{name}@expected a method of eta 0; found another")
        for problem in compared.problems:
            _known(f"{key}.problems", problem, (*self.datasets, *MIXTURES))
        presets = methods.presets("deq-ddim")
        for place, name, options in compared.options():
            method = paper.methods[name]
            whole = {**presets.get(method.preset or "", {}), **method.options, **options}
            if wrong := methods.wrong_option("diffusion/samplers", method.sampler, whole):
                option, words = wrong.split(": ", 1)
                raise ValueError(f"@papers.deq-ddim.{place}.{option}@{words}")
        return self


def _known(key: str, found: str, known: Any) -> None:
    if found not in known:
        names = ", ".join(sorted(known))
        raise ValueError(f"@{key}@expected one of {names}; found '{found}'{did_you_mean(found, known)}")
