"""A checkpoint in diffusers' format, whole, checked against its checksums, its data set's shape, and loaded once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deqbench import config, provenance
from deqbench.data import checkpoints, datasets

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps the one command below a subcommand."""


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="the data set whose network it is, or the network's own name")],
    settings: Annotated[str, typer.Option(help="the checkpoint's section of the config, as JSON")],
    out: Annotated[Path, typer.Option(help="folder to write")],
    dataset: Annotated[
        Path | None, typer.Option(help="the data set's file, whose image shape the network must take [any shape]")
    ] = None,
) -> None:
    """Fetches one checkpoint."""
    checkpoint = config.parse_job(config.Checkpoint, settings)
    shape = datasets.load(dataset).shape if dataset else None
    with provenance.recorded(out, "checkpoint fetch", checkpoint.model_dump()) as facts:

        def check(loaded: Any) -> None:
            net = loaded
            if isinstance(loaded, checkpoints.Network):
                net = loaded.net
                if shape:
                    checkpoints.check_shape(loaded, shape, name)
            facts["parameters"] = sum(p.numel() for p in net.parameters())

        facts["sha256"] = checkpoints.fetch(checkpoint, out, check)
