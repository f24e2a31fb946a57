"""Everything behind one exhibit or study."""

from pathlib import Path
from typing import Annotated

import typer

import deqbench
from deqbench import papers, scale
from deqbench.report.trail import RULES, trails

ROOT = Path(deqbench.__file__).parents[1]
DEMO = Path("config/demo.yaml")


def command(
    exhibit: Annotated[str, typer.Argument(help="such as deq-ddim/table-1")],
    config_file: Annotated[Path, typer.Option("--config", help="the scale's config file")] = DEMO,
) -> None:
    """Prints config key, rules, commands, source, records and printed values of an exhibit or study."""
    asked = papers.exhibit(exhibit)
    path = config_file if config_file.exists() or config_file.is_absolute() else ROOT / config_file
    behind = trails(scale.load(path), Path.cwd() if path == config_file else ROOT)(asked)
    print(f"{exhibit}: {asked.number}, {asked.title}")
    if behind is None or not behind.rules:
        print(f"  not measured by {config_file} (--config names another scale)")
        print(f"  printed   {f'deqbench/papers/{asked.paper}/{asked.printed}' if asked.printed else 'no values'}")
        return
    print(f"  config    {config_file}: {behind.config_key}")
    rules = [f"{RULES}: {rule}" for rule in behind.rules]
    for kind, lines in (("rule", rules), ("command", behind.commands), ("source", behind.sources)):
        for line in lines:
            print(f"  {kind:<9} {line}")
    for line in behind.records or ("none yet: run the workflow first",):
        print(f"  record    {line}")
    print(f"  printed   {behind.printed or 'no values'}")
