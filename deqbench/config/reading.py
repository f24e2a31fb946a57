"""From files and command lines to checked sections. Every refusal names file, key, what was expected and found."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from deqbench.config.recipes import RECIPES, AnyRecipe, Recipe
from deqbench.config.sections import Config, Strict
from deqbench.errors import UserError
from deqbench.records import read_json
from deqbench.sentences import validated


def validate(values: Any, source: str) -> Config:
    """The config in a mapping. UserError: one sentence that names `source`, the key, what was expected and found."""
    return validated(TypeAdapter(Config), values, source)


def load(path: str | Path) -> Config:
    """The config in a YAML or JSON file. UserError: as for `validate`, and where there is no such file."""
    return validate(_read(path), str(path))


def recipes(path: str | Path) -> dict[str, Recipe]:
    """The zoo's recipes in a YAML file. UserError: as for `validate`."""
    return validated(RECIPES, _read(path), str(path))


def parse_recipe(text: str, model: str) -> AnyRecipe:
    """One recipe given as JSON on the command line. UserError: as for `validate`."""
    return validated(TypeAdapter(Recipe), _json(text, "--recipe"), f"--recipe of {model}")


def parse_job(model: type[Strict], text: str) -> Any:
    """A job's settings given as JSON on the command line. UserError: as for `validate`."""
    return validated(TypeAdapter(model), _json(text, "--settings"), "--settings")


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{option}: expected JSON; found {text[:60]!r} ({error})") from error


def _read(path: str | Path) -> Any:
    if Path(path).suffix == ".json":  # YAML takes JSON's 1e-9 for a word
        return read_json(Path(path))
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        scales = (p for p in sorted(Path(path).parent.glob("*.yaml")) if p.name != "zoo.yaml")
        known = [str(p) for p in scales] or ["a YAML file"]
        raise UserError(f"{path}: expected one of {', '.join(known)}; found no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: expected YAML; found: {' '.join(str(error).split())}") from error
