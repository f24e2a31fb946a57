"""The config: checked, written out with its overrides, and its schema for editors."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deqbench import scale
from deqbench.config.reading import parse_job
from deqbench.records import write_text

app = typer.Typer(no_args_is_help=True)
SCHEMA = Path("config/schema.json")


@app.command()
def check(path: Annotated[Path, typer.Argument(help="a config file, such as config/demo.yaml")]) -> None:
    """Says in one sentence what is wrong with a config file, or that nothing is."""
    config = scale.load(path)
    experiments = [scope.key for scope in config.scopes]
    print(f"{path}: scale {config.scale}, {len(config.datasets)} data sets, {len(experiments)} experiments")


@app.command()
def write(
    settings: Annotated[str, typer.Option(help="the whole config as JSON")],
    out: Annotated[Path, typer.Option(help="JSON file to write")],
) -> None:
    """Writes the config that a run really used."""
    config = parse_job(scale.Config, settings)
    write_text(out, config.model_dump_json(by_alias=True, indent=2) + "\n")


@app.command()
def schema(out: Annotated[Path, typer.Option(help="JSON file to write")] = SCHEMA) -> None:
    """Writes the JSON schema that editors check config files with."""
    write_text(out, json.dumps(scale.Config.model_json_schema(by_alias=True), indent=2) + "\n")
