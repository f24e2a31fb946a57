"""The sections of a config as types, with what each key means; unknown keys are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from deqbench.config import methods
from deqbench.errors import did_you_mean

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Source = Literal["digits", "tissue", "cifar10", "folder"]
Grid = Literal["uniform-released", "uniform-paper", "quadratic-paper", "quadratic-released"]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Steps = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed), Field(min_length=1)]


class Strict(BaseModel):
    """A section that refuses unknown keys and cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    eta: float = Field(0.0, ge=0, le=1, description="0 is DDIM, 1 is DDPM")
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


class Trace(Strict):
    """Chains whose joint solve is recorded round by round for one data set."""

    runs: dict[int, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")


class Figure1(Strict):
    """The joint residual and the error of x0 over solver steps. Source: DEQ-DDIM, figure 1."""

    methods: list[Name] = Field(min_length=1)
    rounds: int = Field(ge=1, description="solver steps recorded")
    datasets: dict[Name, Trace]


class Latents(Strict):
    """A chain whose states are shown after some rounds for one data set."""

    T: int = Field(ge=10)
    every: int = Field(ge=1, description="every which state is shown, with x_0 to x_4")


class Figure2(Strict):
    """States of the chain after a few solver steps. Source: DEQ-DDIM, figure 2."""

    method: Name
    rounds: int = Field(ge=1)
    datasets: dict[Name, Latents]


class DeqDdim(Strict):
    """Experiments of the DEQ-DDIM paper."""

    methods: dict[Name, Method]
    table_1: Table1 = Field(alias="table-1")
    figure_1: Figure1 = Field(alias="figure-1")
    figure_2: Figure2 = Field(alias="figure-2")


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
        for key, found, known in (
            *(("table-1.methods", m, paper.methods) for m in paper.table_1.methods),
            *(("table-1.timed", m, paper.methods) for m in paper.table_1.timed),
            *(("table-1.scores", d, self.datasets) for d in paper.table_1.scores),
            *(
                (f"table-1.scores.{d}.methods", m, paper.table_1.methods)
                for d in paper.table_1.scores
                for m in paper.table_1.scored(d)
            ),
            *(("table-1.baseline", paper.table_1.baseline, paper.table_1.scored(d)) for d in paper.table_1.scores),
            *(("table-1.times", d, self.datasets) for d in paper.table_1.times),
            *(("figure-1.methods", m, paper.methods) for m in paper.figure_1.methods),
            *(("figure-1.datasets", d, self.datasets) for d in paper.figure_1.datasets),
            ("figure-2.method", paper.figure_2.method, paper.methods),
            *(("figure-2.datasets", d, self.datasets) for d in paper.figure_2.datasets),
        ):
            _known(f"papers.deq-ddim.{key}", found, known)
        for name, method in paper.methods.items():
            key = f"papers.deq-ddim.methods.{name}"
            _known(f"{key}.sampler", method.sampler, methods.modules("diffusion/samplers"))
            known = methods.presets("deq-ddim")
            if method.preset:
                _known(f"{key}.preset", method.preset, known)
            options = {**known.get(method.preset or "", {}), **method.options}
            if "solver" in options:
                _known(f"{key}.options.solver", str(options["solver"]), methods.modules("solvers"))
            if wrong := methods.wrong_option(method.sampler, options):
                option, words = wrong.split(": ", 1)
                place = "options" if option in method.options else f"preset {method.preset}"
                raise ValueError(f"@{key}.{place}.{option}@{words}")
        return self


def _known(key: str, found: str, known: Any) -> None:
    if found not in known:
        names = ", ".join(sorted(known))
        raise ValueError(f"@{key}@expected one of {names}; found '{found}'{did_you_mean(found, known)}")
