"""The package's methods and the options that they take, read from their files: importing them would load torch."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from deqbench.errors import did_you_mean
from deqbench.sentences import sentence

PACKAGE = Path(__file__).parents[1]
FUNCTIONS = ("sample", "invert", "gradient")
GIVEN = ("on_round", "on_step", "states", "iterations")  # arguments that are no settings
METHOD = re.compile(rf"^(def ({'|'.join(FUNCTIONS)})\(|@register\()", re.MULTILINE)
HANDED = {"gradient": "diffusion/gradients", "solver": "solvers"}  # options that name who gets those not known
TYPES = {"Literal": Literal, "bool": bool, "float": float, "int": int, "str": str}


def modules(package: str) -> tuple[str, ...]:
    """Names of the methods in a folder of the package: the files that define one, or register a solver."""
    files = (path for path in (PACKAGE / package).glob("*.py") if path.stem != "__init__")
    found = (path.stem for path in files if METHOD.search(path.read_text(encoding="utf-8")))
    return tuple(sorted(stem.replace("_", "-") for stem in found))


def presets(paper: str) -> dict[str, dict[str, Any]]:
    """The options of a paper's presets by name."""
    text = (PACKAGE / "papers" / paper / "presets.yaml").read_text(encoding="utf-8")
    return {name: preset["options"] for name, preset in sorted(yaml.safe_load(text).items())}


def wrong_option(folder: str, name: str, options: dict[str, Any]) -> str | None:
    """`option: expected ...; found ...` of an option that the method, or one it hands options to, would refuse.

    Names, types and choices are looked at; a number out of range is answered by the method itself, when it runs.
    """
    known, open_ended = _options(folder, name)
    handed = [choice for choice in HANDED if choice in known]
    while open_ended and handed:
        choice = handed.pop()
        found, choices = str(options.get(choice, known[choice][1])), modules(HANDED[choice])
        if found not in choices:
            return f"{choice}: expected one of {', '.join(choices)}; found '{found}'{did_you_mean(found, choices)}"
        inner, open_ended = _options(HANDED[choice], found)
        handed += [other for other in HANDED if other in inner]
        known = {**known, **inner}
    extra: Literal["allow", "forbid"] = "allow" if open_ended else "forbid"
    model = create_model(name, __config__=ConfigDict(extra=extra, strict=True), **known)  # type: ignore[call-overload]
    try:
        model.model_validate(options)
    except ValidationError as error:
        return sentence(error.errors()[0], TypeAdapter(model), options)
    return None


@cache
def _options(folder: str, name: str) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Type and default of each option of a method, and whether it takes others too."""
    tree = ast.parse((PACKAGE / folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any("register(" in ast.unparse(d) for d in node.decorator_list):
            fields = (field for field in node.body if isinstance(field, ast.AnnAssign))
            return {ast.unparse(field.target): _field(field.annotation, field.value) for field in fields}, False
        if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS:
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            options = {arg.arg: _field(arg.annotation, default) for arg, default in pairs if arg.arg not in GIVEN}
            return options, node.args.kwarg is not None
    raise LookupError(f"{folder}/{name}: expected a method; found none")


def _field(annotation: ast.expr | None, default: ast.expr | None) -> tuple[Any, Any]:
    """Type and default for pydantic: Any for a type spelt with other words than TYPES, None for a default by name."""
    try:
        value = ast.literal_eval(default) if default else None
    except ValueError:
        value = None
    try:
        return eval(ast.unparse(annotation) if annotation else "Any", {"__builtins__": TYPES}), value
    except (NameError, TypeError, AttributeError):
        return Any, value
