"""Accepted tables of other scales, shown where this run has no chains or runs as long."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from deqbench.papers import Exhibit
from deqbench.records import read_frame, read_json
from deqbench.report.blocks import Block, blocks, read_cells

ABOUT = "provenance.json"  # of a scale's accepted tables, of a paper's or (ID.provenance.json) of one made apart


@dataclass(frozen=True)
class Accepted:
    """The accepted cells of an exhibit at another scale."""

    exhibit: Exhibit
    scale: str
    about: dict[str, str]  # date, version, commit, device, threads; empty where that is not known
    blocks: tuple[Block, ...]
    csv: str  # as seen from a page


def longest(blocks: Iterable[Block]) -> int:
    """The largest T of any block, 0 for none."""
    return max((int(dict(block.keys).get("T", 0)) for block in blocks), default=0)


def longer(exhibit: Exhibit, shown: Iterable[Block], scale: str, root: Path) -> Accepted | None:
    """The accepted cells of the scale with the longest chains, if these are longer than those shown.

    UserError: a table is not of the form that the pages need.
    """
    scales = (folder.name for folder in sorted((root / "results/reference").glob("*")) if folder.name != scale)
    others = [other for name in scales if (other := of(exhibit, name, root))]
    best = max(others, key=lambda other: longest(other.blocks), default=None)
    return best if best and longest(best.blocks) > longest(shown) else None


def of(exhibit: Exhibit, scale: str, root: Path) -> Accepted | None:
    """The accepted cells of an exhibit at a scale, if there are any.

    UserError: the table is not of the form that the pages need.
    """
    path = root / "results/reference" / scale / exhibit.paper / f"{exhibit.id}.csv"
    if not path.is_file():
        return None
    held = blocks(exhibit, read_cells(path), str(path))
    return Accepted(exhibit, scale, origin(path), held, quote(f"../../{path.relative_to(root).as_posix()}"))


def origin(table: Path) -> dict[str, str]:
    """Date, version, commit, device and threads of an accepted table, from nearest by; empty where nothing is known."""
    nearest = table.with_suffix(f".{ABOUT}"), table.with_name(ABOUT), table.parent.with_name(ABOUT)
    file = next((file for file in nearest if file.is_file()), None)
    return read_json(file) if file else {}


def by_scale(tables: Iterable[Path]) -> dict[str, pd.DataFrame]:
    """The cells of accepted tables, SCALE/PAPER/ID.csv, by scale; `accepted` is the date of each one's origin."""
    frames: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(tables):
        cells = read_frame(path).assign(accepted=origin(path).get("date", ""))
        frames.setdefault(path.parents[1].name, []).append(cells)
    return {scale: pd.concat(parts, ignore_index=True) for scale, parts in frames.items()}
