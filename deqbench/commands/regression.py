"""The tables of a run against the accepted reference."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from deqbench.errors import UserError
from deqbench.records import write_json, write_text
from deqbench.report import regression
from deqbench.report.accepted import ABOUT

app = typer.Typer(no_args_is_help=True)
Scale = Annotated[str, typer.Option(help="names results/<scale> and results/reference/<scale>")]
Results = Annotated[Path, typer.Option(help="the folder of all results")]


@app.command()
def check(scale: Scale = "demo", results: Results = Path("results")) -> None:
    """Compares every table cell with the reference; exit code 1 and a list of what moved if any did."""
    comparison = regression.compare(results / scale / "tables", results / "reference" / scale)
    for difference in comparison.differences:
        print(difference, file=sys.stderr)
    if comparison.differences:
        differ = f"{len(comparison.differences)} cells differ from results/reference/{scale}"
        print(f"{differ} ({comparison})", file=sys.stderr)
        raise typer.Exit(1)
    print(f"every cell agrees with results/reference/{scale} ({comparison})")


@app.command()
def accept(scale: Scale = "demo", results: Results = Path("results")) -> None:
    """Makes the tables of this run the reference, and prints what that changes."""
    tables, reference = results / scale / "tables", results / "reference" / scale
    mine = regression.tables(tables)
    if not mine:
        raise UserError(f"{tables}: expected tables of a run; found none (run the workflow first)")
    if regression.tables(reference):
        for difference in regression.compare(tables, reference).differences:
            print(difference)
    for name, path in regression.tables(reference).items():
        if name not in mine:
            path.unlink()
    for name, path in mine.items():
        write_text(reference / f"{name}.csv", path.read_text(encoding="utf-8"))
    if about := regression.about(results / scale):
        write_json(reference / ABOUT, about)
    print(f"accepted {len(mine)} tables into {reference}")
