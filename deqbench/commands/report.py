"""Tables, claims, figures and pages: pure functions of records."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from deqbench import config, papers
from deqbench.records import read_frame, read_records, write_frame, write_json

app = typer.Typer(no_args_is_help=True)
ConfigFile = Annotated[Path, typer.Option("--config", help="the config that the run used")]
Out = Annotated[Path, typer.Option(help="file or folder to write")]


@app.command()
def table(exhibit: str, records: list[Path], config_file: ConfigFile, out: Out) -> None:
    """The cells of one exhibit, such as deq-ddim/table-1, from its records."""
    from deqbench.report import tables

    write_frame(out, tables.cells(papers.exhibit(exhibit), read_records(records), config.load(config_file)))


@app.command()
def claims(paper: str, cells: list[Path], config_file: ConfigFile, out: Out) -> None:
    """The verdicts on a paper's claims from its tables' cells."""
    from deqbench.report.claims import judge

    frame = pd.concat([read_frame(path) for path in sorted(cells)], ignore_index=True)
    settings = config.load(config_file)
    write_json(out, [judge(claim, frame, settings) for claim in papers.claims(paper)])


@app.command()
def figure(exhibit: str, records: list[Path], out: Out) -> None:
    """The drawing of one exhibit, such as deq-ddim/figure-1, with its data beside it."""
    from deqbench.report.figures import draw

    draw(papers.exhibit(exhibit), records, out)


@app.command()
def site(
    config_file: ConfigFile,
    named: Annotated[str, typer.Option("--config-file", help="the config file's name to print")],
) -> None:
    """All pages of a scale, into reports/<scale>/."""
    from deqbench.report.site import build

    print(build(config.load(config_file), named))
