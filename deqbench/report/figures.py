"""Figures from records: deterministic SVG files, the drawn data beside them, and what a reader must know."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deqbench.errors import unknown
from deqbench.papers import Exhibit
from deqbench.records import write_json
from deqbench.report import pictures, states, watermarks
from deqbench.report.curves import draw_curves
from deqbench.report.pareto import draw_pareto
from deqbench.report.performance import draw_errors
from deqbench.report.race import draw_race
from deqbench.report.scatter import draw_scatter

KINDS: dict[str, Callable[[Exhibit, Sequence[Path], Path], dict[str, Any]]] = {
    "curves": draw_curves,
    "errors": draw_errors,
    "pareto": draw_pareto,
    "race": draw_race,
    "scatter": draw_scatter,
    **states.KINDS,
    **pictures.KINDS,
    **watermarks.KINDS,
}


def draw(exhibit: Exhibit, records: Sequence[Path], out: Path) -> None:
    """Draws the figure that the exhibit's spec declares from its `records` (files) into the folder `out`.

    Leaves SVG files, `data.csv` and, last, `figure.json` with `files` (file, title, alt, width in pixels),
    `data` and `facts`.
    UserError: the spec's kind is unknown, or there are no records to draw.
    """
    kind = str(exhibit.spec.get("kind"))
    if kind not in KINDS:
        raise unknown(f"{exhibit.paper}/{exhibit.id}: figures.yaml: kind", kind, KINDS)
    about = KINDS[kind](exhibit, records, out)
    write_json(out / "figure.json", {"exhibit": f"{exhibit.paper}/{exhibit.id}", "data": "data.csv", **about})
