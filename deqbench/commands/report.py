"""Tables, claims, figures and pages: pure functions of records."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.records import read_frame, read_records, write_frame, write_json

app = typer.Typer(no_args_is_help=True)
ConfigFile = Annotated[Path, typer.Option("--config", help="the config that the run used")]
Records = Annotated[list[Path], typer.Argument(help="of all exhibits; the specs say whose each file is")]
Out = Annotated[Path, typer.Option(help="file or folder to write")]


def _by_exhibit(paper: str, records: list[Path]) -> list[tuple[Exhibit, list[Path]]]:
    """The exhibits of a paper whose specs name some of the records, with these. UserError: one that no spec names."""
    from deqbench.report.sources import made_from

    made = [(exhibit, made_from(exhibit, records)) for exhibit in (*papers.exhibits(paper), *papers.studies(paper))]
    named = {path for _, mine in made for path in mine}
    for path in records:
        if path not in named:
            raise UserError(f"{path}: expected a record that an exhibit of {paper} is made from; found another file")
    return [(exhibit, mine) for exhibit, mine in made if mine]


@app.command()
def tables(paper: str, records: Records, config_file: ConfigFile, out: Out) -> None:
    """The cells of every exhibit of a paper from its records (CSV, or traces as Parquet), as OUT/<exhibit>.csv."""
    from deqbench.report.sources import of_table
    from deqbench.report.tables import cells

    settings = scale.load(config_file)
    for exhibit, _ in _by_exhibit(paper, records):
        if mine := of_table(exhibit, records):
            write_frame(out / f"{exhibit.id}.csv", cells(exhibit, read_records(mine), settings))


@app.command()
def claims(
    paper: str,
    cells: list[Path],
    config_file: ConfigFile,
    out: Out,
    accepted: Annotated[list[Path] | None, typer.Option(help="an accepted table of another scale")] = None,
) -> None:
    """The verdicts on a paper's claims from its tables' cells, and beside them those from accepted tables."""
    from deqbench.report.accepted import by_scale
    from deqbench.report.claims import judge, judge_elsewhere

    frame = pd.concat([read_frame(path) for path in sorted(cells)], ignore_index=True)
    settings, others = scale.load(config_file), by_scale(accepted or ())
    judged = [
        {**judge(claim, frame, settings), "elsewhere": judge_elsewhere(claim, frame, others, settings)}
        for claim in papers.claims(paper)
    ]
    write_json(out, judged)


@app.command()
def figures(paper: str, records: Records, out: Out) -> None:
    """The drawings of every figure of a paper from its records, each with its data, in OUT/<exhibit>/."""
    from deqbench.report.figures import draw
    from deqbench.report.sources import of_figure

    for exhibit, _ in _by_exhibit(paper, records):
        if mine := of_figure(exhibit, records):
            draw(exhibit, mine, out / exhibit.id)


@app.command()
def site(
    config_file: ConfigFile,
    named: Annotated[str, typer.Option("--config-file", help="the config file's name to print")],
) -> None:
    """All pages of a scale, into reports/<scale>/."""
    from deqbench.report.site import build

    print(build(scale.load(config_file), named))
