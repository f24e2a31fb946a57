"""The command line: parse, call, write. One module a rule file under `deqbench.commands`."""

import atexit
import gc
import importlib
import sys
from typing import Annotated

import typer

from deqbench.errors import UserError
from deqbench.provenance import set_threads

# The module of a command is imported only when that command is asked for: torch and diffusers take seconds to load.
COMMANDS = {
    "run": "one job of a stage of an experiment, as the rules call it",
    "report": "tables, claims, figures and pages from records",
    "regression": "compare tables with the accepted reference, or accept them",
    "where": "everything behind one exhibit: config key, rule, command, source, records, printed values",
    "config": "check a config file, or write the schema",
    "zoo": "train and accept the shipped checkpoints",
    "workflow": "remove a lock whose owner is dead",
}


def common(threads: Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")] = 0) -> None:
    """DEQ methods in generative modelling, benchmarked and reproduced."""
    set_threads(threads)


def main() -> None:
    """Runs the command line; a UserError becomes one sentence on stderr and exit code 1."""
    # While torch and diffusers load, and again at exit, the collector would walk all their objects many times over: a
    # third of the time that a step takes to start and to end.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
    app.callback()(common)
    asked = next((word for word in sys.argv[1:] if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        if asked in (None, name):
            module = importlib.import_module(f"deqbench.commands.{name}") if asked else None
            if module and hasattr(module, "command"):  # a module of one command, which takes its options in any order
                app.command(name, help=summary)(module.command)
            else:
                app.add_typer(module.app if module else typer.Typer(), name=name, help=summary)
    try:
        app()
    except UserError as error:
        print(f"deqbench: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
