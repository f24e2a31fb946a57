"""The papers: exhibits, printed values, claims and settings. Digits stay as printed, so all columns are str.

A paper is a folder with a paper.yaml, here or in a folder that the environment variable DEQBENCH_PAPERS names.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from deqbench.errors import UserError, did_you_mean, unknown
from deqbench.papers import reading
from deqbench.papers.predicates import Claim as Claim
from deqbench.papers.reading import About as About
from deqbench.papers.spec import Exhibit as Exhibit

if TYPE_CHECKING:
    import pandas as pd

    PAPERS: tuple[str, ...]


def __getattr__(name: str) -> Any:
    """PAPERS, read when it is asked for, so that a fault in a paper's file is a sentence of the command's."""
    if name == "PAPERS":
        return tuple(reading.folders())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def exhibits(paper: str) -> tuple[Exhibit, ...]:
    """All exhibits of a paper, tables first, then figures, each in the paper's order. UserError: unknown paper."""
    return (*reading.exhibits(paper, "table"), *reading.exhibits(paper, "figure"))


def studies(paper: str) -> tuple[Exhibit, ...]:
    """The studies measured beside a paper's exhibits, none for most papers. UserError: unknown paper."""
    return reading.exhibits(paper, "study")


def exhibit(paper_and_id: str) -> Exhibit:
    """The exhibit or study of an id such as `deq-ddim/table-1`. UserError: unknown id, with the nearest known one."""
    known = reading.by_name()
    if paper_and_id not in known:
        raise UserError(f"exhibit: no '{paper_and_id}' in any paper{did_you_mean(paper_and_id, known)}")
    return known[paper_and_id]


def printed(exhibit: Exhibit) -> pd.DataFrame:
    """The printed values, one a row, all columns str, empty where nothing is printed.

    Columns: row, dataset, the table's own keys, metric, unit, value, plus_minus, direction (lower, higher or empty),
    note. An exhibit that is a list of settings gives its rows of `settings`. UserError: the exhibit prints no values.
    """
    if exhibit.printed is None:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: the paper prints no values for {exhibit.number}")
    if exhibit.printed == "settings.csv":
        table = settings(exhibit.paper)
        # Table 8 owns the rows of Tables 8a and 8b; where it is named second, the row is another place's.
        return table[table["where"].str.startswith(exhibit.number)].reset_index(drop=True)
    return _frame(exhibit.paper, exhibit.printed).copy()


def derived(exhibit: Exhibit) -> pd.DataFrame:
    """Values that follow from the printed ones, with columns as theirs and the arithmetic in the note; often none."""
    name = f"derived/{exhibit.id}.csv"
    known = (reading.folder(exhibit.paper) / name).is_file()
    return _frame(exhibit.paper, name).copy() if known else printed(exhibit).iloc[:0]


def claims(paper: str) -> tuple[Claim, ...]:
    """The claims of a paper. UserError: unknown paper, or a predicate that names cells which no table can fill."""
    return reading.claims(paper)


def settings(paper: str) -> pd.DataFrame:
    """The paper's settings, one a row, all columns str: experiment, dataset, name, value, unit, where (in the paper).

    UserError: unknown paper.
    """
    return _frame(paper, "settings.csv").copy()


def about(paper: str) -> About:
    """The paper itself, in our words. UserError: unknown paper."""
    return reading.about(paper)


def experiments(paper: str) -> dict[str, str]:
    """The kind of each experiment of a paper, empty where none is measured yet. UserError: unknown paper."""
    return reading.about(paper).experiments


def catalogue(paper: str) -> dict[str, dict[str, Any]]:
    """A paper's methods that every scale knows, as written, by part of its config. UserError: unknown paper."""
    return dict(reading.catalogue(paper).model_extra or {})


def presets(paper: str) -> dict[str, dict[str, Any]]:
    """The options of a paper's presets by name. UserError: unknown paper."""
    return {name: dict(preset.options) for name, preset in reading.catalogue(paper).presets.items()}


def preset(paper: str, name: str) -> dict[str, Any]:
    """The options of a named preset of a paper. UserError: there is none of that name."""
    known = presets(paper)
    if name not in known:
        raise unknown(f"preset of {paper}", name, known)
    return known[name]


@cache
def _frame(paper: str, name: str) -> pd.DataFrame:
    import pandas as pd  # takes half a second, and most jobs read no table

    with (reading.folder(paper) / name).open(encoding="utf-8") as lines:
        return pd.read_csv(lines, dtype=str, keep_default_na=False)
