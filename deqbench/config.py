"""The config as types. Read once at the edge; unknown keys are refused; errors name file, key and what was expected."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from deqbench.errors import UserError, did_you_mean

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
            ("table-1.baseline", paper.table_1.baseline, paper.table_1.methods),
            *(("table-1.scores", d, self.datasets) for d in paper.table_1.scores),
            *(("table-1.times", d, self.datasets) for d in paper.table_1.times),
            *(("figure-1.methods", m, paper.methods) for m in paper.figure_1.methods),
            *(("figure-1.datasets", d, self.datasets) for d in paper.figure_1.datasets),
            ("figure-2.method", paper.figure_2.method, paper.methods),
            *(("figure-2.datasets", d, self.datasets) for d in paper.figure_2.datasets),
        ):
            _known(f"papers.deq-ddim.{key}", found, known)
        for name, method in paper.methods.items():
            _known(f"papers.deq-ddim.methods.{name}.sampler", method.sampler, modules("diffusion/samplers"))
            if method.preset:
                _known(f"papers.deq-ddim.methods.{name}.preset", method.preset, presets("deq-ddim"))
            if "solver" in method.options:
                solver = str(method.options["solver"])
                _known(f"papers.deq-ddim.methods.{name}.options.solver", solver, modules("solvers"))
        return self


class DiffusionRecipe(Strict):
    """How a noise-prediction network of the zoo is trained."""

    kind: Literal["diffusion"]
    dataset: Name
    unet: dict[str, Any] = Field(description="arguments of diffusers' UNet2DModel")
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)
    bf16: bool
    seed: int
    data_licence: str


class ClassifierRecipe(Strict):
    """How a feature extractor of the zoo is trained."""

    kind: Literal["classifier"]
    dataset: Name
    task: Literal["labels", "corruptions"]
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    seed: int
    data_licence: str


Recipe = Annotated[DiffusionRecipe | ClassifierRecipe, Field(discriminator="kind")]
RECIPES: TypeAdapter[dict[str, Recipe]] = TypeAdapter(dict[Name, Recipe])


def modules(package: str) -> tuple[str, ...]:
    """Names of the methods in a folder of the package, one file a method; read without importing them."""
    hidden = {"__init__", "solve", "registry", "triangular"}
    files = (Path(__file__).parent / package).glob("*.py")
    return tuple(sorted(path.stem.replace("_", "-") for path in files if path.stem not in hidden))


def presets(paper: str) -> tuple[str, ...]:
    """Names of a paper's presets."""
    text = (Path(__file__).parent / "papers" / paper / "presets.yaml").read_text(encoding="utf-8")
    return tuple(sorted(yaml.safe_load(text)))


def _known(key: str, found: str, known: Any) -> None:
    if found not in known:
        names = ", ".join(sorted(known))
        raise ValueError(f"@{key}@expected one of {names}; found '{found}'{did_you_mean(found, known)}")


def validate(values: Any, source: str) -> Config:
    """The config in a mapping. UserError: one sentence that names `source`, the key, what was expected and found."""
    return _validated(TypeAdapter(Config), values, source)


def load(path: str | Path) -> Config:
    """The config in a YAML file. UserError: as for `validate`, and where there is no such file."""
    return validate(_read_yaml(path), str(path))


def recipes(path: str | Path) -> dict[str, Recipe]:
    """The zoo's recipes in a YAML file. UserError: as for `validate`."""
    return _validated(RECIPES, _read_yaml(path), str(path))


def parse_recipe(text: str, model: str) -> DiffusionRecipe | ClassifierRecipe:
    """One recipe given as JSON on the command line. UserError: as for `validate`."""
    return _validated(TypeAdapter(Recipe), _json(text, "--recipe"), f"--recipe of {model}")


def parse_job(model: type[Strict], text: str) -> Any:
    """A job's settings given as JSON on the command line. UserError: as for `validate`."""
    return _validated(TypeAdapter(model), _json(text, "--settings"), "--settings")


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{option}: expected JSON; found {text[:60]!r} ({error})") from error


def _read_yaml(path: str | Path) -> Any:
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        scales = (p for p in sorted(Path(path).parent.glob("*.yaml")) if p.name != "zoo.yaml")
        known = [str(p) for p in scales] or ["a YAML file"]
        raise UserError(f"{path}: expected one of {', '.join(known)}; found no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: expected YAML; found: {' '.join(str(error).split())}") from error


def _validated(adapter: TypeAdapter[Any], values: Any, source: str) -> Any:
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(error.errors()[0], adapter, values)}") from error


def _sentence(problem: Any, adapter: TypeAdapter[Any], values: Any) -> str:
    """One pydantic error in our words: `key: expected ...; found ...`."""
    loc, kind, context = problem["loc"], problem["type"], problem.get("ctx", {})
    key = _dotted(loc, values) or "the file"
    found = json.dumps(problem["input"], default=str)
    found = found if len(found) <= 80 else f"{found[:77]}..."
    if kind == "extra_forbidden":
        known = _keys_at(adapter.json_schema(by_alias=True), loc[:-1])
        return f"{key}: expected one of {', '.join(known)}; found an unknown key{did_you_mean(str(loc[-1]), known)}"
    if kind == "missing":
        return f"{key}: expected a value; found none"
    if kind == "value_error":
        message = str(context["error"])
        if message.startswith("@"):
            _, key, message = message.split("@", 2)
        return f"{key}: {message}"
    if kind == "literal_error":
        known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return f"{key}: expected one of {', '.join(known)}; found {found}{did_you_mean(str(problem['input']), known)}"
    if kind == "string_pattern_mismatch":
        return f"{key}: expected small letters, digits and hyphens; found {found}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{key}: expected a section with keys; found {found}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = context["discriminator"].strip("'")
        known = [word.strip("'") for word in context.get("expected_tags", "").split(", ") if word]
        found = f"'{context['tag']}'{did_you_mean(context['tag'], known)}" if known else "none"
        return f"{key}.{tag}: expected {'one of ' + ', '.join(known) if known else 'a value'}; found {found}"
    if kind == "too_short":
        return f"{key}: expected at least {context['min_length']} entry; found {found}"
    words = problem["msg"].removeprefix("Input should be ").split(", ")[0]
    bound = words.startswith(("greater", "less"))
    return f"{key}: expected {'a number ' if bound else ''}{words}; found {found}"


def _dotted(loc: tuple[Any, ...], values: Any) -> str:
    """The key of a place as the file spells it: the tags of unions and lists that we made of one value have no key."""
    parts: list[Any] = []
    node = values
    for part in loc:
        if isinstance(node, dict) and (name := next((key for key in node if str(key) == str(part)), None)) is not None:
            parts, node = [*parts, name], node[name]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            parts, node = [*parts, part], node[part]
        elif isinstance(node, dict) and part is loc[-1] and part != "[key]":  # a key that the file lacks
            parts.append(part)
    return ".".join(map(str, parts))


def _keys_at(schema: dict[str, Any], loc: tuple[Any, ...]) -> list[str]:
    """The keys that the JSON schema knows at a place."""
    node = schema
    for part in (*loc, None):
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        if part is None:
            break
        if "discriminator" in node and part in node["discriminator"]["mapping"]:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif "properties" in node and part in node["properties"]:
            node = node["properties"][part]
        else:
            named = next(iter(node.get("patternProperties", {}).values()), None)
            node = named or node.get("items") or node.get("additionalProperties", {})
        if isinstance(node, dict) and "allOf" in node:
            node = node["allOf"][0]
    return sorted(node.get("properties", {}))
