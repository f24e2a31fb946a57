"""A data set with its fixed splits as one safetensors file."""

from pathlib import Path
from typing import Annotated

import typer

from deqbench import jobs, provenance
from deqbench.config import parse_job
from deqbench.data import datasets

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps the one command below a subcommand."""


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="the data set's name in the config")],
    settings: Annotated[str, typer.Option(help="this job's slice of the config, as JSON")],
    out: Annotated[Path, typer.Option(help="safetensors file to write: the splits, their kind in its metadata")],
) -> None:
    """Builds one data set."""
    section = parse_job(jobs.DatasetJob, settings)
    with provenance.recorded(out, "dataset build", section.model_dump()) as facts:
        built = datasets.build(section.source, **section.options)
        datasets.save(built, out)
        facts |= {"dataset": name, "kind": built.kind}
        facts["rows"] = {split: len(getattr(built, split)) for split in datasets.SPLITS}
