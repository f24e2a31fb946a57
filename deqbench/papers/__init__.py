"""What the four papers print: exhibits, values, claims and settings. Digits stay as printed, so all columns are str."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Literal

import yaml

from deqbench.errors import UserError, did_you_mean, unknown

if TYPE_CHECKING:
    import pandas as pd

PAPERS: tuple[str, ...] = ("deq-ddim", "decoder-inversion", "deq-score-matching", "jiio")

FILES = {"table": "tables.yaml", "figure": "figures.yaml", "study": "studies.yaml"}


@dataclass(frozen=True)
class Exhibit:
    """A table or figure of a paper, or a study beside them, in our words."""

    paper: str
    id: str  # kebab-case, unique within the paper: table-s1a
    kind: Literal["table", "figure", "study"]  # by its file; figure-17 of deq-ddim is a figure that prints a table
    number: str  # as in the paper: Table S1a
    title: str
    caption: str
    printed: str | None  # file with the printed values, relative to the paper's folder; None where none are printed
    no_numbers: bool = False  # words, ticks or a sketch: nothing in it can be measured
    notes: tuple[str, ...] = ()  # misprints, conflicts and gaps a reader must know
    spec: dict[str, Any] = field(default_factory=dict, hash=False)  # which records fill it; {} if not declared


def exhibits(paper: str) -> tuple[Exhibit, ...]:
    """All exhibits of a paper, tables first, then figures, each in the paper's order. UserError: unknown paper."""
    _folder(paper)
    return (*_listed(paper, "table"), *_listed(paper, "figure"))


def studies(paper: str) -> tuple[Exhibit, ...]:
    """What is measured beside a paper's exhibits, none for most papers. UserError: unknown paper."""
    return _listed(paper, "study") if (_folder(paper) / FILES["study"]).is_file() else ()


def exhibit(paper_and_id: str) -> Exhibit:
    """The exhibit or study of an id such as `deq-ddim/table-1`. UserError: unknown id, with the nearest known one."""
    known = {f"{found.paper}/{found.id}": found for paper in PAPERS for found in (*exhibits(paper), *studies(paper))}
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


def claims(paper: str) -> list[dict[str, Any]]:
    """The claims of a paper, each with id, statement, where, evidence and check. UserError: unknown paper."""
    return copy.deepcopy(_yaml(paper, "claims.yaml"))


def settings(paper: str) -> pd.DataFrame:
    """The paper's settings, one a row, all columns str: experiment, dataset, name, value, unit, where (in the paper).

    UserError: unknown paper.
    """
    return _frame(paper, "settings.csv").copy()


def about(paper: str) -> dict[str, Any]:
    """The paper itself: id, title, short, authors, abstract (our words). UserError: unknown paper."""
    return copy.deepcopy(_yaml(paper, "paper.yaml"))


def experiments(paper: str) -> dict[str, str]:
    """The kind of each experiment of a paper, empty where none is measured yet. UserError: unknown paper."""
    return dict(_yaml(paper, "paper.yaml").get("experiments", {}))


def _folder(paper: str) -> Traversable:
    if paper not in PAPERS:
        raise UserError(f"paper: expected one of {', '.join(PAPERS)}; found '{paper}'{did_you_mean(paper, PAPERS)}")
    return files(__name__) / paper


@cache
def _listed(paper: str, kind: Literal["table", "figure", "study"]) -> tuple[Exhibit, ...]:
    entries = _yaml(paper, FILES[kind])
    return tuple(
        Exhibit(paper=paper, kind=kind, **{**entry, "notes": tuple(entry.get("notes", ()))}) for entry in entries
    )


@cache
def _yaml(paper: str, name: str) -> Any:
    return yaml.safe_load((_folder(paper) / name).read_text(encoding="utf-8"))


@cache
def _frame(paper: str, name: str) -> pd.DataFrame:
    import pandas as pd  # takes half a second, and most jobs read presets only

    with (_folder(paper) / name).open(encoding="utf-8") as lines:
        return pd.read_csv(lines, dtype=str, keep_default_na=False)


def preset(paper: str, name: str) -> dict[str, Any]:
    """The options of a named preset of a paper. UserError: there is none of that name."""
    known = _yaml(paper, "presets.yaml")
    if name not in known:
        raise unknown(f"preset of {paper}", name, known)
    return dict(known[name]["options"])
