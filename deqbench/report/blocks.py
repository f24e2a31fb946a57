"""A table's cells laid out for reading: measured cells in blocks, printed ones in a grid."""

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench import papers
from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.papers.spec import Metric, Spec

TEXTS = ("metric", "unit", "direction", "statistic", "printed", "printed_row", "relation", "format", "kind", "note")
NUMBERS = ("value", "low", "high", "n")
ABOUT_VALUES = ("unit", "plus_minus", "direction", "note")  # of printed values
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Cell:
    """One value, ready to print; `text` is empty where there is no value."""

    text: str = ""
    interval: str = ""
    basis: str = ""  # statistic and n
    printed: str = ""
    printed_row: str = ""
    relation: str = ""
    kind: str = ""
    mark: str = ""  # of the note below the table
    note: str = ""
    sort: str = ""  # the number to sort by, full precision


@dataclass(frozen=True)
class Block:
    """The cells of one group: a row a method, a column a metric."""

    keys: tuple[tuple[str, str], ...]  # (dataset, digits), (T, 20)
    stands_in_for: str
    columns: tuple[Metric, ...]  # those with a value in the group
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]  # label, cells in the order of columns
    notes: tuple[tuple[str, str], ...]  # mark, note
    absent: tuple[tuple[str, str], ...]  # labels of the columns without any value in the group, by reason


@dataclass(frozen=True)
class Grid:
    """A printed table: heads and rows of text, and its notes by mark."""

    heads: tuple[str, ...]
    labels: int  # leading columns that name the row
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def number(value: float, spec: str = ".3g") -> str:
    """A number as people write it: digits that count are kept, no exponent between 1e-4 and 1e6, a real minus sign."""
    if spec.endswith("d") and np.isfinite(value):
        return format(round(value), spec).replace("-", MINUS)
    text = format(value, spec)
    if spec.startswith(".") and spec.endswith("g") and float(text) != value:  # 0.50 beside 0.48, but counts stay 9.5
        text = format(value, f"#{spec}").rstrip(".")
    mantissa, _, exponent = text.partition("e")
    if exponent:
        power = str(int(exponent)).translate(SUPERSCRIPTS)
        text = format(Decimal(text), "f") if -5 < int(exponent) < 6 else f"{mantissa.rstrip('.')}{TIMES}10{power}"
    return text.replace("-", MINUS)


def read_cells(path: Path) -> pd.DataFrame:
    """The cells of a table, printed digits untouched. UserError: unreadable, or a column is missing."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected a readable table; found: {error}") from error
    missing = [name for name in (*TEXTS, *NUMBERS) if name not in frame]
    if missing:
        raise UserError(f"{path}: expected the columns of a table's cells; found none named {', '.join(missing)}")
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame


def columns(spec: Spec, cells: pd.DataFrame) -> tuple[Metric, ...]:
    """The spec's metrics in its order, then any other metric that the cells hold, so that none is lost."""
    others = cells[~cells["metric"].isin([metric.id for metric in spec.metrics])].drop_duplicates("metric")
    told = others.assign(label=others.get("metric_label", others["metric"]), id=others["metric"])
    rows = told[["id", "label", "unit", "direction"]].to_dict("records")
    return (*spec.metrics, *(Metric.model_construct(**{str(key): row[key] for key in row}) for row in rows))


def blocks(exhibit: Exhibit, cells: pd.DataFrame, source: str = "cells") -> tuple[Block, ...]:
    """The cells in one block a group, groups and rows in the order of the file. UserError: the spec names no column."""
    group = list(exhibit.spec.group)
    missing = [name for name in (*group, "method") if name not in cells]
    if missing:
        raise UserError(f"{source}: expected the columns {', '.join(missing)} that the table's spec names; found none")
    heads = columns(exhibit.spec, cells)
    return tuple(
        _block(tuple(zip(group, map(_key, values), strict=True)), part, heads, source)
        for values, part in cells.groupby(group, sort=False, dropna=False)
    )


def _key(value: Any) -> str:
    return str(value).removesuffix(".0")  # an eta of 1 is read back as 1.0


def _block(keys: tuple[tuple[str, str], ...], cells: pd.DataFrame, heads: tuple[Metric, ...], source: str) -> Block:
    filled = set(cells.loc[cells["value"].notna(), "metric"])
    shown = tuple(head for head in heads if head.id in filled)
    marks: dict[str, str] = {}
    rows = []
    for method, part in cells.groupby("method", sort=False):
        by_metric = part.drop_duplicates("metric").set_index("metric").to_dict("index")
        label = part["method_label"].iloc[0] if "method_label" in part else method
        rows.append((str(label or method), tuple(_cell(by_metric.get(head.id), marks, source) for head in shown)))
    return Block(
        keys=keys,
        stands_in_for=str(cells["stands_in_for"].iloc[0]) if "stands_in_for" in cells else "",
        columns=shown,
        rows=tuple(rows),
        notes=tuple((mark, note) for note, mark in marks.items()),
        absent=_absent(cells, [head for head in heads if head.id not in filled]),
    )


def _absent(cells: pd.DataFrame, heads: list[Metric]) -> tuple[tuple[str, str], ...]:
    labels: dict[str, list[str]] = {}
    for head in heads:
        notes = cells.loc[cells["metric"] == head.id, "note"]
        reason = "; ".join(dict.fromkeys(note for note in notes if note)) or "not measured"
        labels.setdefault(reason, []).append(head.label)
    return tuple((", ".join(each), reason) for reason, each in labels.items())


def _cell(values: dict[Hashable, Any] | None, marks: dict[str, str], source: str) -> Cell:
    if values is None:
        return Cell()
    note = values["note"]
    mark = marks.setdefault(note, letter(len(marks))) if note else ""
    about: dict[str, Any] = {name: values[name] for name in ("printed", "printed_row", "relation", "kind", "note")}
    if np.isnan(values["value"]):
        return Cell(mark=mark, **about)
    spec = values["format"] or ".3g"
    known = not np.isnan([values["low"], values["high"]]).any()
    try:
        text = number(values["value"], spec)
        interval = f"[{number(values['low'], spec)}, {number(values['high'], spec)}]" if known else ""
    except (ValueError, OverflowError) as error:
        raise UserError(f"{source}: expected a number format such as .3g; found {spec!r}") from error
    size = "" if np.isnan(values["n"]) else f"n = {values['n']:.0f}"
    return Cell(
        text=text,
        interval=interval,
        basis=", ".join(part for part in (values["statistic"], size) if part),
        mark=mark,
        sort=repr(float(values["value"])) if np.isfinite(values["value"]) else "",
        **about,
    )


def letter(index: int) -> str:
    """a, b, ... z, aa, ab, ... for notes."""
    first, last = divmod(index, 26)
    return (letter(first - 1) if first else "") + chr(ord("a") + last)


def printed_grid(exhibit: Exhibit) -> Grid | None:
    """The printed values: a row for each of the table's keys, a column a metric. None: the paper prints no values."""
    if exhibit.printed is None:
        return None
    frame = papers.printed(exhibit)
    filled = frame.loc[:, (frame != "").any()]
    if "metric" not in frame:  # a list of settings
        return _listed(filled, ())
    notes = tuple(dict.fromkeys(note for note in frame["note"] if note))
    cells = frame.to_dict("records")
    frame = frame.assign(head=[_head(cell) for cell in cells], text=[_printed_text(cell, notes) for cell in cells])
    keys = [str(name) for name in filled if name not in ("metric", "value", *ABOUT_VALUES)]
    without_row = [name for name in keys if name != "row"]  # the row's label mostly repeats the keys
    if len(frame) < frame["head"].nunique() * len(frame.drop_duplicates(keys)) / 3:  # mostly gaps as a grid
        long = frame[[*keys, "head", "text"]].rename(columns={"head": "metric", "text": "value"})
        return _listed(long, notes)
    if without_row and not frame.duplicated([*without_row, "head"]).any():
        return _pivot(frame, without_row, notes)
    if frame.duplicated([*keys, "head"]).any():  # the paper lists the same cell twice
        return _listed(filled.drop(columns="note", errors="ignore").assign(value=frame["text"]), notes)
    return _pivot(frame, keys, notes)


def _listed(frame: pd.DataFrame, notes: tuple[str, ...]) -> Grid:
    heads = tuple(str(name).replace("_", " ") for name in frame)
    return Grid(heads, 1, tuple(tuple(map(str, row)) for row in frame.itertuples(index=False)), notes)


def _pivot(frame: pd.DataFrame, keys: list[str], notes: tuple[str, ...]) -> Grid:
    heads = list(dict.fromkeys(frame["head"]))
    rows = []
    for values, part in frame.groupby(keys, sort=False):
        by_head = dict(zip(part["head"], part["text"], strict=True))
        rows.append((*map(str, values), *(by_head.get(head, "") for head in heads)))
    return Grid((*(key.replace("_", " ") for key in keys), *heads), len(keys), tuple(rows), notes)


def _head(cell: dict[Hashable, Any]) -> str:
    unit = "" if cell["unit"] in ("", "unitless") else f" ({cell['unit']})"
    arrow = {"lower": " ↓", "higher": " ↑"}.get(cell["direction"], "")
    return f"{cell['metric']}{unit}{arrow}"


def _printed_text(cell: dict[Hashable, Any], notes: tuple[str, ...]) -> str:
    spread = f" ± {cell['plus_minus']}" if cell["plus_minus"] else ""
    mark = f" ({letter(notes.index(cell['note']))})" if cell["note"] and len(notes) > 1 else ""
    return f"{cell['value']}{spread}{mark}" if cell["value"] else ""
