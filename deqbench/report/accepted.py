"""Accepted tables of other scales, shown where this run has no chains or runs as long."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from deqbench.papers import Exhibit
from deqbench.records import read_json
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
        if folder.name != scale and (other := of(exhibit, folder.name, root)) and longest(other.blocks) > least:
            least, found = longest(other.blocks), other
    return found


def of(exhibit: Exhibit, scale: str, root: Path) -> Accepted | None:
    """The accepted cells of an exhibit at a scale, if there are any.

    UserError: the table is not of the form that the pages need.
    """
    folder = root / "results/reference" / scale
    path = folder / exhibit.paper / f"{exhibit.id}.csv"
    if not path.is_file():
        return None
    held = blocks(exhibit, read_cells(path), str(path))
    nearest = path.with_suffix(f".{ABOUT}"), path.with_name(ABOUT), folder / ABOUT
    origin = next((file for file in nearest if file.is_file()), None)
    about: dict[str, str] = read_json(origin) if origin else {}
    return Accepted(exhibit, scale, about, held, quote(f"../../{path.relative_to(root).as_posix()}"))
