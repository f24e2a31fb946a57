"""The lock of a working directory."""

import subprocess
import sys

import typer

from deqbench.workflow import lock_is_orphaned

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps the one command below a subcommand."""


@app.command()
def release() -> None:
    """Removes snakemake's lock of this directory if the process that took it is dead; fails if it lives."""
    if lock_is_orphaned():
        print("the run that locked this directory is dead: removing its lock", file=sys.stderr)
        raise typer.Exit(
            subprocess.run([sys.executable, "-m", "snakemake", "--unlock", "--cores", "1"], check=False).returncode
        )
