"""A paper's folder of YAML as checked types: what a metric, a method or a paper says once is filled in everywhere."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, Field, TypeAdapter

from deqbench.config.sentences import checked
from deqbench.config.strict import Strict
from deqbench.errors import UserError, did_you_mean, unknown
from deqbench.papers.predicates import Claim, check
from deqbench.papers.spec import FILES, Exhibit, Kind, Metric, Spec

FURTHER = "DEQBENCH_PAPERS"  # an environment variable: folders of papers beside the package's own, as PATH


class About(Strict):
    """The paper itself, in our words."""

    id: str
    title: str
    short: str
    authors: tuple[str, ...]
    abstract: str
    order: int = 1000  # among the papers, before the name
    performance: str = ""  # where its studies stand on the page of that name: the words above them there
    experiments: dict[str, str] = Field({})  # the kind of each experiment


class Preset(Strict):
    """A named setting of a method, where the paper's text and its released code part."""

    source: str
    options: dict[str, bool | int | float | str]


class Catalogue(Strict):
    """Methods that every scale knows, as written, by the part of a config that they stand under; and their presets."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, dict[str, Any]]]
    presets: dict[str, Preset] = Field({})


class Labels(Strict):
    """Names that a reader sees, in the order in which they are drawn."""

    methods: dict[str, str] = Field({})
    quantities: dict[str, str] = Field({})


class Entry(Strict):
    """An exhibit as its file has it."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    number: str | None = None  # else from the id
    title: str = Field(min_length=1)
    caption: str = Field(min_length=1)
    printed: str | None = None  # else tables/ID.csv, where there is such a file
    no_numbers: bool = False
    notes: tuple[str, ...] = ()
    spec: Spec = Spec()


def further() -> list[Path]:
    """Folders of papers outside the package: such a paper is one folder, its data and the kinds of its experiments."""
    return [Path(folder).absolute() for folder in os.environ.get(FURTHER, "").split(os.pathsep) if folder]


@cache
def folders() -> dict[str, Path]:
    """The folder of each paper: those with a paper.yaml, by its `order` and then by name. UserError: two of a name."""
    roots = [Path(__file__).parent, *further()]
    by_name: dict[str, Path] = {}
    for file in (file for root in roots for file in sorted(root.glob("*/paper.yaml"))):
        if (known := by_name.setdefault(file.parent.name, file.parent)) != file.parent:
            raise UserError(f"{file}: expected a paper of its own; found another in {known}")
    return dict(sorted(by_name.items(), key=lambda item: (_about(item[1]).order, item[0])))


def folder(paper: str) -> Path:
    """UserError: unknown paper."""
    known = folders()
    if paper not in known:
        raise UserError(f"paper: expected one of {', '.join(known)}; found '{paper}'{did_you_mean(paper, known)}")
    return known[paper]


def about(paper: str) -> About:
    """The paper itself. UserError: unknown paper, or a fault in its file."""
    return _about(folder(paper))


@cache
def _about(folder: Path) -> About:
    about = read(folder / "paper.yaml", About)
    if about.id != folder.name:
        raise UserError(f"{folder / 'paper.yaml'}: id: expected the folder's name; found '{about.id}'")
    return about


def methods_file(paper: str) -> Path:
    """The file of a paper's named methods, which it may lack. UserError: unknown paper."""
    return folder(paper) / "methods.yaml"


@cache
def catalogue(paper: str) -> Catalogue:
    """The named methods of a paper, none where it has no such file. UserError: a fault in the file."""
    path = methods_file(paper)
    return read(path, Catalogue) if path.is_file() else Catalogue()


@cache
def exhibits(paper: str, kind: Kind) -> tuple[Exhibit, ...]:
    """The exhibits of one file of a paper. UserError: file, key, what was expected and found."""
    path = folder(paper) / FILES[kind]
    if kind == "study" and not path.is_file():
        return ()
    labels, metrics = _labels(paper), _metrics(paper)
    entries = {name: _filled(entry, labels, metrics, path) for name, entry in _by_id(path).items()}
    read_entries = checked(TypeAdapter(dict[str, Entry]), entries, str(path))
    made = tuple(Exhibit(paper=paper, kind=kind, **_fields(entry)) for entry in read_entries.values())
    for exhibit in made:
        _check_names(exhibit, str(path))
    return made


@cache
def by_name() -> dict[str, Exhibit]:
    """Every exhibit and study of every paper, by paper/id."""
    every = (exhibit for paper in folders() for kind in FILES for exhibit in exhibits(paper, kind))
    return {f"{exhibit.paper}/{exhibit.id}": exhibit for exhibit in every}


@cache
def claims(paper: str) -> tuple[Claim, ...]:
    """The claims of a paper; an exhibit without a paper is its own. UserError: a fault, or cells that cannot be."""
    path = folder(paper) / "claims.yaml"
    raw = _by_id(path)
    for entry in raw.values():
        for predicate in entry.get("predicates", ()):
            if "/" not in str(predicate.get("exhibit", "/")):
                predicate["exhibit"] = f"{paper}/{predicate['exhibit']}"
    by_id = checked(TypeAdapter(dict[str, Claim]), raw, str(path))
    for claim in by_id.values():
        for at, predicate in enumerate(claim.predicates):
            check(predicate, by_name(), f"{path}: {claim.id}.predicates.{at}")
    return tuple(by_id.values())


def _filled(entry: dict[str, Any], labels: Labels, metrics: dict[str, Any], path: Path) -> dict[str, Any]:
    """An exhibit's raw entry with what its id, the paper's labels and the paper's metrics say."""
    printed = entry.get("printed") or f"tables/{entry.get('id')}.csv"
    entry = {"number": _number(str(entry.get("id"))), **entry}
    entry["printed"] = printed if (path.parent / printed).is_file() or "printed" in entry else None
    spec = entry.get("spec")
    if not isinstance(spec, dict):
        return entry
    drawing = spec.get("drawing") or {}
    shared = {} if "families" in drawing else {**labels.methods, **labels.quantities}
    own = {**(drawing.get("rows") or {}), **spec.get("labels", {})}  # which are drawn first
    spec = {"experiment": entry.get("id"), **spec, "labels": {**own, **shared, **own}}
    place = f"{path}: {entry.get('id')}.spec.metrics"
    spec["metrics"] = [_metric(said, metrics, bool(entry["printed"]), place) for said in spec.get("metrics", ())]
    return {**entry, "spec": spec}


def _metric(said: Any, metrics: dict[str, Any], printed: bool, place: str) -> dict[str, Any]:
    """A metric that an exhibit names, or names and says otherwise; what is printed is said where something is."""
    own = {"id": said} if isinstance(said, str) else dict(said)
    name = str(own.get("id"))
    if name not in metrics and "label" not in own:
        raise unknown(place, name, metrics)
    filled = {**metrics.get(name, {}), **own}
    if "help" not in own and printed and "printed" in filled:
        filled["help"] = " ".join(filter(None, (filled.get("help"), filled.get("printed_help"))))
    return {key: value for key, value in filled.items() if printed or not key.startswith("printed")}


def _number(name: str) -> str:
    """Table S1a of table-s1a."""
    return " ".join(word[:1].upper() + word[1:] for word in name.split("-"))


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.model_fields}


def _check_names(exhibit: Exhibit, path: str) -> None:
    """UserError: the spec names a method without a label, or a printed file that is not there."""
    if exhibit.printed and not (folder(exhibit.paper) / exhibit.printed).is_file():
        raise UserError(f"{path}: {exhibit.id}.printed: expected a file of the paper; found no '{exhibit.printed}'")
    spec = exhibit.spec
    drawn: Any = spec.drawing
    where = getattr(drawn, "where", {}).get("method", ())
    named: dict[str, Iterable[str]] = {
        "baseline": (spec.baseline,) if spec.baseline else (),
        "metrics.baseline": (metric.baseline for metric in spec.metrics if metric.baseline),
        "only.method": map(str, spec.only.get("method", ())),
        "printed_methods": spec.printed_methods,
        "printed_rows": filter(None, spec.printed_rows),
        "drawing.ours": () if spec.labels == {} else getattr(drawn, "ours", ()),
        "drawing.rivals": getattr(drawn, "rivals", ()),
        "drawing.methods": getattr(drawn, "methods", ()),
        "drawing.where.method": [where] if isinstance(where, str) else where,
    }
    for key, names in named.items():
        for name in names:
            if name not in spec.labels:
                raise unknown(f"{path}: {exhibit.id}.spec.{key}", name, spec.labels)


@cache
def _metrics(paper: str) -> dict[str, dict[str, Any]]:
    """The paper's metrics by id, as written: what each says wherever it is shown."""
    path = folder(paper) / "metrics.yaml"
    raw = loaded(path) if path.is_file() else {}
    metrics = {name: {"id": name, **values} for name, values in raw.items()}
    checked(TypeAdapter(dict[str, Metric]), metrics, str(path))
    return metrics


@cache
def _labels(paper: str) -> Labels:
    path = folder(paper) / "labels.yaml"
    return read(path, Labels) if path.is_file() else Labels()


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a file that is a list. UserError: an id stands twice."""
    by_id: dict[str, dict[str, Any]] = {}
    for entry in loaded(path) or ():
        name = str(entry.get("id"))
        if name in by_id:
            raise UserError(f"{path}: expected each id once; found {name} twice")
        by_id[name] = entry
    return by_id


def read(path: Path, form: Any) -> Any:
    """A file's content in a form that pydantic knows. UserError: file, key, what was expected and found."""
    return checked(TypeAdapter(form), loaded(path), str(path))


def loaded(path: Path) -> Any:
    """A YAML file's content. UserError: it cannot be read, or a key stands twice."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as error:
        raise UserError(f"{path}: expected a file of the paper; found none") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: expected YAML; found: {' '.join(str(error).split())}") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A loader for which a key that stands twice is an error: the second would silently win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
