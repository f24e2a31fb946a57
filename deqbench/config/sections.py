"""The sections of a config as types, with what each key means; unknown keys are refused."""

from collections.abc import Container, Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from deqbench import index
from deqbench.config.comparison import MIXTURES, Comparison
from deqbench.config.decoder import DecoderInversion, Model
from deqbench.config.inversion import INVERTED, Inversion, Inverter, check
from deqbench.config.named import able, one_of, options_fit, presets
from deqbench.config.sampling import (
    LATENT,
    SAMPLED,
    SCORED,
    TRACED,
    Figure1,
    Figure2,
    Figure12,
    Method,
    Table1,
    Table2,
)
from deqbench.config.strict import Name, Strict
from deqbench.config.studies import Costs, Cycles, Gradients, InversionMemory, Workers

Source = Literal["digits", "tissue", "patches", "cifar10", "folder"]
Grid = Literal["uniform-released", "uniform-paper", "quadratic-paper", "quadratic-released"]


class Checkpoint(Strict):
    """Where a network in diffusers' format comes from."""

    form: Literal["denoiser", "autoencoder"] = Field(
        "denoiser", description="a noise-prediction network, or an encoder and a decoder"
    )
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


class DeqDdim(Strict):
    """Experiments of the DEQ-DDIM paper."""

    methods: dict[Name, Method]
    table_1: Table1 = Field(alias="table-1")
    figure_1: Figure1 = Field(alias="figure-1")
    figure_2: Figure2 = Field(alias="figure-2")
    table_2: Table2 | None = Field(None, alias="table-2")
    table_4: Table2 | None = Field(None, alias="table-4")
    figure_10: Figure2 | None = Field(None, alias="figure-10")
    figure_11: Figure1 | None = Field(None, alias="figure-11")
    figure_12: Figure12 | None = Field(None, alias="figure-12")
    figure_13: Figure12 | None = Field(None, alias="figure-13")
    figure_18: Figure2 | None = Field(None, alias="figure-18")
    inverters: dict[Name, Inverter] = Field({}, description="by name")
    table_3: Inversion | None = Field(None, alias="table-3")
    figure_8: Inversion | None = Field(None, alias="figure-8")
    figure_17: Inversion | None = Field(None, alias="figure-17")
    ablations: Inversion | None = None
    comparison: Comparison | None = None
    costs: dict[Name, Costs] = Field({}, description="a study, by data set")
    cycles: dict[Name, Cycles] = Field({}, description="a study, by data set")
    workers: dict[Name, Workers] = Field({}, description="a study, by data set")
    gradients: dict[Name, Gradients] = Field({}, description="a study, by data set")
    inversion_memory: dict[Name, InversionMemory] = Field(
        {}, alias="inversion-memory", description="a study, by data set"
    )

    @property
    def baseline(self) -> str:
        """The method that others are compared with where an experiment names none of its own."""
        return self.table_1.baseline

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
            yield from ((f"{name}.also", found.method, self.methods) for found in getattr(figure, "also", ()))
            yield from ((f"{name}.datasets", dataset, datasets) for dataset in figure.datasets)
        for name, figure in self.sections(*TRACED).items():
            for dataset, trace in figure.datasets.items():
                yield from ((f"{name}.datasets.{dataset}.also", method, self.methods) for method in trace.also)
        for name in ("costs", "cycles", "workers"):
            for dataset, study in self.experiment(name).items():
                yield name, dataset, datasets
                used = [study.method] if name == "workers" else study.methods
                yield from ((f"{name}.{dataset}.methods", method, self.methods) for method in used)
        for name in ("gradients", "inversion-memory"):
            yield from ((name, dataset, datasets) for dataset in self.experiment(name))
        for dataset, memory in self.inversion_memory.items():
            key = f"inversion-memory.{dataset}.inverters"
            yield from ((key, inverter, self.inverters) for inverter in memory.inverters)


class Papers(Strict):
    """Experiments by paper."""

    deq_ddim: DeqDdim = Field(alias="deq-ddim")
    decoder_inversion: DecoderInversion | None = Field(None, alias="decoder-inversion")

    def of(self, paper: str) -> Any:
        """The section of a paper by its id; None where this scale has none."""
        return getattr(self, paper.replace("-", "_"), None)


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
    networks: dict[Name, Checkpoint] = Field({}, description="autoencoders and latent models, by name")
    papers: Papers

    @property
    def subjects(self) -> dict[str, Dataset | Model]:
        """What records name as their data set: the data sets, then the latent models."""
        decoders = self.papers.decoder_inversion
        return {**self.datasets, **(decoders.models if decoders else {})}

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        paper = self.papers.deq_ddim
        for key, found, known in paper.names(self.datasets):
            one_of(f"papers.deq-ddim.{key}", found, known)
        for name, method in paper.methods.items():
            key = f"papers.deq-ddim.methods.{name}"
            options_fit(key, "diffusion/samplers", method.sampler, method.preset, method.options)
            if method.eta:
                able(f"{key}.eta", "diffusion/samplers", method.sampler, "eta > 0")
        return self

    @model_validator(mode="after")
    def _decoders_fit(self) -> "Config":
        if self.papers.decoder_inversion is not None:
            self.papers.decoder_inversion.check(self.networks)
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
                    if any(etas):
                        able(f"{key}.methods", "diffusion/samplers", known[method].sampler, "eta > 0")
                    if own and own not in etas:
                        raise ValueError(
                            f"@{key}.eta.{dataset}@expected {own:g} among them, for {method}; found {etas}"
                        )
        return self

    @model_validator(mode="after")
    def _inversions_fit(self) -> "Config":
        check(self.papers.deq_ddim.inverters, self.papers.deq_ddim.sections(*INVERTED), self.datasets)
        return self

    @model_validator(mode="after")
    def _comparison_fits(self) -> "Config":
        paper, compared = self.papers.deq_ddim, self.papers.deq_ddim.comparison
        if compared is None:
            return self
        key = "papers.deq-ddim.comparison"
        one_of(f"{key}.methods", paper.table_1.baseline, compared.methods)
        for name in compared.methods:
            one_of(f"{key}.methods", name, paper.methods)
            if paper.methods[name].eta:
                raise ValueError(f"@{key}.methods.{name}@expected a method of eta 0; found another")
        for problem in compared.problems:
            one_of(f"{key}.problems", problem, (*self.datasets, *MIXTURES))
        known = presets("deq-ddim")
        for place, name, options in compared.options():
            method = paper.methods[name]
            whole = {**known.get(method.preset or "", {}), **method.options, **options}
            if wrong := index.wrong("diffusion/samplers", method.sampler, whole):
                option, words = wrong.split(": ", 1)
                raise ValueError(f"@papers.deq-ddim.{place}.{option}@{words}")
        return self
