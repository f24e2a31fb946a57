"""Everything behind one exhibit."""

from pathlib import Path
from typing import Annotated

import typer

from deqbench import config, papers
from deqbench.trail import trail


def command(
    exhibit: Annotated[str, typer.Argument(help="such as deq-ddim/table-1")],
    config_file: Annotated[Path, typer.Option("--config", help="the scale's config file")] = Path("config/demo.yaml"),
) -> None:
    """Prints config key, rules, commands, source, records and printed values of an exhibit."""
    found = papers.exhibit(exhibit)
    behind = trail(found, config.load(config_file), str(config_file))
    print(f"{exhibit}: {found.number}, {found.title}")
    if behind is None:
        print("  not measured yet")
        print(f"  printed   {f'deqbench/papers/{found.paper}/{found.printed}' if found.printed else 'no values'}")
        return
    print(f"  config    {behind.config_file}: {behind.config_key}")
    for rule, file in behind.rules:
        print(f"  rule      {file}: {rule}")
    for kind, lines in (("command", behind.commands), ("source", behind.sources), ("record", behind.records)):
        for line in lines or ("none yet: run the workflow first",):
            print(f"  {kind:<9} {line}")
    print(f"  printed   {behind.printed or 'no values'}")
