"""The package's methods and the options that they take, read from their files: importing them would load torch."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from deqbench.config.sentences import sentence

PACKAGE = Path(__file__).parents[1]
METHOD = re.compile(r"^(def sample\(|@register\()", re.MULTILINE)
TYPES = {"Literal": Literal, "bool": bool, "float": float, "int": int, "str": str}


def modules(package: str) -> tuple[str, ...]:
    """Names of the methods in a folder of the package: the files that define `sample`, or register a solver."""
    files = (path for path in (PACKAGE / package).glob("*.py") if path.stem != "__init__")
    found = (path.stem for path in files if METHOD.search(path.read_text(encoding="utf-8")))
    return tuple(sorted(stem.replace("_", "-") for stem in found))


def presets(paper: str) -> dict[str, dict[str, Any]]:
    """The options of a paper's presets by name."""
    text = (PACKAGE / "papers" / paper / "presets.yaml").read_text(encoding="utf-8")
    return {name: preset["options"] for name, preset in sorted(yaml.safe_load(text).items())}


def wrong_option(sampler: str, options: dict[str, Any]) -> str | None:
    """`option: expected ...; found ...` of an option that the sampler, or the solver it hands it to, would refuse.

    Names, types and choices are looked at; a number out of range is answered by the method itself, when it runs.
    """
    known, open_ended = _sampler_options(sampler)
    if open_ended and "solver" in known:
        solver = options.get("solver", known["solver"][1])
        known, open_ended = {**known, **_solver_options(str(solver))}, False
    extra: Literal["allow", "forbid"] = "allow" if open_ended else "forbid"
    model = create_model(sampler, __config__=ConfigDict(extra=extra, strict=True), **known)  # type: ignore[call-overload]
    try:
        model.model_validate(options)
    except ValidationError as error:
        return sentence(error.errors()[0], TypeAdapter(model), options)
    return None


@cache
def _sampler_options(name: str) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Type and default of each option of a sampler's `sample`, and whether it takes others too."""
    tree = _parsed("diffusion/samplers", name)
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "sample")
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    options = {arg.arg: _field(arg.annotation, default) for arg, default in pairs if arg.arg != "on_round"}
    return options, function.args.kwarg is not None


@cache
def _solver_options(name: str) -> dict[str, tuple[Any, Any]]:
    """Type and default of each field of the class that a solver's file registers."""
    classes = [node for node in _parsed("solvers", name).body if isinstance(node, ast.ClassDef)]
    (settings,) = (found for found in classes if any("register(" in ast.unparse(d) for d in found.decorator_list))
    fields = (node for node in settings.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    return {ast.unparse(node.target): _field(node.annotation, node.value) for node in fields}


def _parsed(package: str, name: str) -> ast.Module:
    return ast.parse((PACKAGE / package / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))


def _field(annotation: ast.expr | None, default: ast.expr | None) -> tuple[Any, Any]:
    """Type and default for pydantic; Any for a type spelt with other words than TYPES."""
    value = ast.literal_eval(default) if default else None
    try:
        return eval(ast.unparse(annotation) if annotation else "Any", {"__builtins__": TYPES}), value
    except (NameError, TypeError, AttributeError):
        return Any, value
