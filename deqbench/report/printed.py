"""Printed values beside the cells of a group, and what follows from them by arithmetic."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from deqbench import papers
from deqbench.papers import Exhibit
from deqbench.papers.spec import Metric
from deqbench.scale import Config

NOTHING = {"printed": "", "printed_row": "", "relation": ""}


@dataclass(frozen=True)
class Printed:
    """The printed rows that stand beside a group of cells."""

    dataset: str  # printed data set; empty where the group has none
    relation: str  # same, stand-in, or empty
    rows: dict[str, str]  # the printed row by method; "" stands for all other methods
    at: dict[str, str] = field(default_factory=dict)  # further columns of the printed row, and what they must hold

    @classmethod
    def of(cls, exhibit: Exhibit, config: Config, keys: dict[str, Any]) -> "Printed":
        """keys: of the group.

        The spec's `printed_rows` are patterns of the keys, its `printed_at` columns that must hold a key where a row is
        printed several times; where it is for several data sets, the own one's is taken. Its `printed_by` names keys
        that the printed row must share; without either, rows are data sets.
        """
        section, spec = config.subjects.get(keys["dataset"]), exhibit.spec
        if section is None:  # an analytic chain
            return cls("", "", {})
        own = section.printed_as or section.stands_in_for or ""
        texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in keys.items()}
        if spec.printed_by:
            return cls._by_keys(papers.printed(exhibit), own, bool(section.printed_as), texts, spec.printed_by)
        if not spec.printed_rows:
            return cls(own, ("same" if section.printed_as else "stand-in") if own else "", {"": own})
        known = papers.printed(exhibit)["dataset"].unique()
        dataset = known[0] if len(known) == 1 else _spelt(own, known)
        rows = {method: pattern.format(**texts) for method, pattern in spec.printed_rows.items()}
        at = {column: texts[key] for column, key in spec.printed_at.items()}
        if len(known) > 1:
            at["dataset"] = dataset
        same = bool(section.printed_as) and _spelt(section.printed_as, [dataset]) == dataset
        return cls(dataset, "same" if same else "stand-in", rows, at)

    @classmethod
    def _by_keys(cls, table: pd.DataFrame, own: str, same: bool, texts: dict[str, str], by: Sequence[str]) -> "Printed":
        """The own data set's row with these keys; for a stand-in, or a row that names no data set,
        also the only row that has them.
        """
        others = [name for name in by if name != "dataset"]
        fits = table[(table[others] == [texts[name] for name in others]).all(axis=1)]
        mine = fits[fits["dataset"] == own]
        if mine.empty and own and (not same or (fits["dataset"] == "").all()):
            mine, same = fits, False
        if mine["row"].nunique() != 1:
            return cls("", "", {})
        return cls(mine["dataset"].iloc[0], "same" if same else "stand-in", {"": mine["row"].iloc[0]})

    def cell(self, exhibit: Exhibit, metric: Metric, method: str, baseline: str) -> dict[str, str]:
        """printed, printed_row, relation: the printed value of a cell, or of the baseline over it for a ratio."""
        row = self.rows.get(method) or self.rows.get("")
        if not row or metric.printed is None:
            return NOTHING
        table = papers.printed(exhibit)
        if metric.printed not in set(table["metric"]):
            table = papers.derived(exhibit)
        rows: Any = table[(table["row"] == row) & (table["metric"] == metric.printed)]
        at = self.at | metric.printed_at
        rows = rows[(rows[list(at)] == list(at.values())).all(axis=1)].set_index("method")
        name, base = (_printed_method(exhibit, of, rows) for of in (method, baseline))
        if name is None:
            return NOTHING
        words = _with_spread(rows.loc[name], metric)
        if metric.ratio_of is not None:
            known = base not in (None, name)
            words = f"{float(rows.at[base, 'value']) / float(rows.at[name, 'value']):.2f}" if known else ""
        about = {"printed": words, "printed_row": _row_words(rows.loc[name], row), "relation": self.relation}
        return about if words else NOTHING


def _spelt(dataset: str, known: Iterable[str]) -> str:
    """The data set as a table spells it, Cifar10 of CIFAR10; empty where it has none of that name."""
    return next((name for name in known if name.casefold() == dataset.casefold()), "")


def _printed_method(exhibit: Exhibit, method: str, rows: pd.DataFrame) -> str | None:
    """The paper's name of a method in these rows; the spec may give several, as with and without noise."""
    names = exhibit.spec.printed_methods.get(method, ())
    return next((name for name in ([names] if isinstance(names, str) else names) if name in rows.index), None)


def _with_spread(printed: pd.Series, metric: Metric) -> str:
    """The value, with what the paper prints behind a plus-minus sign where the metric's `printed_spread` asks."""
    spread = printed.get("plus_minus", "") if metric.printed_spread else ""
    return f"{printed['value']} \N{PLUS-MINUS SIGN} {spread}" if spread else str(printed["value"])


def _row_words(printed: pd.Series, row: str) -> str:
    """The printed row with the chain length it was printed for, a stand-in's being mostly another, and its source."""
    words = f"{row}, T={printed['T']}" if printed.get("T") and "T=" not in row else row
    note = printed.get("note", "")
    return f"{words}, {note}" if note.startswith("derived") else f"{words}, quoted" if "quoted" in note else words
