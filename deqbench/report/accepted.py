"""Accepted tables of other scales, shown where this run has no chains as long."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from deqbench.papers import Exhibit
from deqbench.records import read_json
from deqbench.report.blocks import Block, blocks, read_cells

ABOUT = "provenance.json"  # beside a scale's accepted tables


@dataclass(frozen=True)
class Accepted:
    """The accepted cells of an exhibit at another scale."""

    exhibit: Exhibit
    scale: str
    about: dict[str, str]  # date, version, commit, device, threads; empty where that is not known
    blocks: tuple[Block, ...]
    csv: str  # as seen from a page


def longest(found: Iterable[Block]) -> int:
    """The largest T of any block, 0 for none."""
    return max((int(dict(block.keys).get("T", 0)) for block in found), default=0)


def longer(exhibit: Exhibit, shown: Iterable[Block], scale: str, root: Path) -> Accepted | None:
    """The accepted cells of the scale with the longest chains, if these are longer than those shown.

    UserError: a table is not of the form that the pages need.
    """
    found = None
    least = longest(shown)
    for folder in sorted((root / "results/reference").glob("*")):
        path = folder / exhibit.paper / f"{exhibit.id}.csv"
        if folder.name == scale or not path.is_file():
            continue
        held = blocks(exhibit, read_cells(path), str(path))
        if longest(held) > least:
            least = longest(held)
            about = read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
            address = quote(f"../../{path.relative_to(root).as_posix()}")
            found = Accepted(exhibit, folder.name, about, held, address)
    return found
