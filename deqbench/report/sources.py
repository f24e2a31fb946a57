"""The files that a table or a figure is made from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.papers.drawings import TRACES


def made_from(exhibit: Exhibit, records: Sequence[Path]) -> list[Path]:
    """Those of the records (files) that an exhibit is made from; all of its experiment unless its spec says which."""
    if exhibit.spec.records or not exhibit.spec:
        return [path for path in records if any(path.match(pattern) for pattern in exhibit.records)]
    folder = f"{exhibit.paper}/{exhibit.spec.experiment}"
    return [path for path in records if any(parent.match(folder) for parent in path.parents)]  # match knows no **


def of_table(exhibit: Exhibit, records: Sequence[Path]) -> list[Path]:
    """The records behind the cells of an exhibit: CSV, or traces where its spec has them reduced. None: no table."""
    if not exhibit.spec.metrics:
        return []
    ending = ".parquet" if exhibit.spec.reduce else ".csv"
    return [path for path in made_from(exhibit, records) if path.suffix == ending]


def of_figure(exhibit: Exhibit, records: Sequence[Path]) -> list[Path]:
    """The traces or tensors behind the drawings of an exhibit. None: it is not drawn."""
    if exhibit.spec.drawing is None:
        return []
    ending = ".parquet" if exhibit.spec.drawing.kind in TRACES else ".safetensors"
    return [path for path in made_from(exhibit, records) if path.suffix == ending]


def of_kind(exhibit: Exhibit, records: Sequence[Path], ending: str) -> list[Path]:
    """The files with that ending, by name. UserError: there are none."""
    found = sorted(path for path in records if path.suffix == ending)
    if not found:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records (*{ending}) of {exhibit.number}; found none")
    return found


def tensors(source: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, and the words about them. UserError: it cannot be read."""
    try:
        with safe_open(source, framework="np") as file:
            about = dict(sorted((file.metadata() or {}).items()))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118  (no dict)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{source}: expected the tensors of shown images; found: {error}") from error
