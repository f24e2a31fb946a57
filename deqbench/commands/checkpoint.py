"""Checkpoints in diffusers' format, whole, checked against checksums and their data sets' shapes, and loaded once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deqbench import config, provenance
from deqbench.data import checkpoints, datasets
from deqbench.errors import UserError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps the one command below a subcommand."""


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(help="the data sets whose networks they are, or the networks' own names")
    ],
    settings: Annotated[list[str], typer.Option(help="each checkpoint's section of the config, as JSON")],
    out: Annotated[list[Path], typer.Option(help="each one's folder to write")],
    dataset: Annotated[
        list[Path] | None, typer.Option(help="the data sets' files, whose image shapes the networks must take [any]")
    ] = None,
) -> None:
    """Fetches checkpoints. UserError: the options are not one a name."""
    for option, found in {"settings": len(settings), "out": len(out), "dataset": len(dataset or names)}.items():
        if found != len(names):
            raise UserError(f"--{option}: expected one for each of {', '.join(names)}; found {found}")
    shapes = [datasets.load(path).shape for path in dataset] if dataset else [None] * len(names)
    for name, told, folder, shape in zip(names, settings, out, shapes, strict=True):
        _fetch(name, config.parse_job(config.Checkpoint, told), folder, shape)


def _fetch(name: str, checkpoint: config.Checkpoint, out: Path, shape: tuple[int, ...] | None) -> None:
    with provenance.recorded(out, "checkpoint fetch", checkpoint.model_dump()) as facts:

        def check(loaded: Any) -> None:
            net = loaded
            if isinstance(loaded, checkpoints.Network):
                net = loaded.net
                if shape:
                    checkpoints.check_shape(loaded, shape, name)
            facts["parameters"] = sum(p.numel() for p in net.parameters())

        facts["sha256"] = checkpoints.fetch(checkpoint, out, check)
