"""The config: checked, written out with its overrides, and its schema for editors."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deqbench import config
from deqbench.records import write_text

app = typer.Typer(no_args_is_help=True)
SCHEMA = Path("config/schema.json")


@app.command()
def check(path: Annotated[Path, typer.Argument(help="a config file, such as config/demo.yaml")]) -> None:
    """Says in one sentence what is wrong with a config file, or that nothing is."""
    found = config.load(path)
    print(f"{path}: scale {found.scale}, {len(found.datasets)} data sets, {len(found.papers.deq_ddim.methods)} methods")


@app.command()
def write(
    settings: Annotated[str, typer.Option(help="the whole config as JSON")],
    out: Annotated[Path, typer.Option(help="JSON file to write")],
) -> None:
    """Writes the config that a run really used."""
    found = config.parse_job(config.Config, settings)
    write_text(out, found.model_dump_json(by_alias=True, indent=2) + "\n")


@app.command()
def schema(out: Annotated[Path, typer.Option(help="JSON file to write")] = SCHEMA) -> None:
    """Writes the JSON schema that editors check config files with."""
    write_text(out, json.dumps(config.Config.model_json_schema(by_alias=True), indent=2) + "\n")
