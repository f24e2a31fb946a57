"""The files that a table or a figure is made from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.papers.drawings import TRACES, VALUES, Drawing


def made_from(exhibit: Exhibit, records: Sequence[Path]) -> list[Path]:
    """The records (files) that an exhibit is made from; all of its experiment unless its spec says which."""
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
    """The traces or tensors behind the drawings of an exhibit, by name. None: it is not drawn."""
    drawing = exhibit.spec.drawing
    return [] if drawing is None else of_drawing(drawing, made_from(exhibit, records))


def of_drawing(drawing: Drawing, records: Sequence[Path]) -> list[Path]:
    """The records that a kind of drawing is made of, values, traces or tensors, by name."""
    ending = ".csv" if drawing.kind in VALUES else ".parquet" if drawing.kind in TRACES else ".safetensors"
    return sorted(path for path in records if path.suffix == ending)


def tensors(source: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, and the words about them. UserError: it cannot be read."""
    try:
        with safe_open(source, framework="np") as file:
            about = dict(sorted((file.metadata() or {}).items()))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118  (no dict)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{source}: expected the tensors of shown images; found: {error}") from error
