"""Figures from records: deterministic SVG files, the drawn data beside them, and what a reader must know."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.papers.drawings import TRACES, VALUES
from deqbench.records import read_records, write_frame, write_json
from deqbench.report import pictures, watermarks
from deqbench.report.bars import draw_bars
from deqbench.report.blocks import number
from deqbench.report.canvas import Drawn, entry
from deqbench.report.curves import draw_curves, quantity
from deqbench.report.histogram import draw_histogram
from deqbench.report.pareto import draw_pareto
from deqbench.report.performance import draw_errors
from deqbench.report.race import draw_race
from deqbench.report.scatter import draw_scatter
from deqbench.report.sheets import About, Images, Sheet, Tensors, sheet
from deqbench.report.sources import of_drawing

UNDER = "The number under an image is its relative difference to the sequential chain's."


def draw(exhibit: Exhibit, records: Sequence[Path], out: Path) -> None:
    """Writes the figure that the exhibit's spec declares, from its `records` (files), into the folder `out`.

    Leaves SVG files, `data.csv` and, last, `figure.json` with `files` (of `canvas.entry`), `data` and `facts`.
    UserError: there are no records to draw.
    """
    drawing, place = exhibit.spec.drawing, f"{exhibit.paper}/{exhibit.id}"
    sources = of_drawing(drawing, records) if drawing else []
    if drawing is None or not sources:
        raise UserError(f"{place}: expected traces or tensors of {exhibit.number} to draw; found none")
    given = read_records(sources) if drawing.kind in (*TRACES, *VALUES) else sources
    data, files, facts = KINDS[drawing.kind](exhibit, drawing, given, out)
    write_frame(out / "data.csv", data)
    write_json(out / "figure.json", {"exhibit": place, "data": "data.csv", "files": files, "facts": facts})


def _latents(exhibit: Exhibit, drawing: Any, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    solves = [
        (method, rounds, quantity(method, "", exhibit.spec.labels))
        for method, rounds in (words.split(" ") for words in about["solves"].split(", "))
    ]
    lengths = sorted({int(key.split(".")[0].removeprefix("T")) for key in loaded}, reverse=True)
    for T in lengths:
        yield _states(loaded, about, solves, T, path.with_name(f"{path.stem}-T{T}.svg"))


def _states(loaded: Tensors, about: About, solves: Sequence[tuple[str, ...]], T: int, path: Path) -> Sheet:
    """The states of the chain of T steps: a row a solve, and one for the chain walked step by step."""
    alone = len({label for *_, label in solves}) == 1  # one method: it is named in the title
    chain = {key.split(".")[1]: tensor for key, tensor in loaded.items() if key.startswith(f"T{T}.")}
    shown = [int(at) for at in chain["indices"]]
    size = (0.85 * len(shown) + (0.9 if alone else 1.9), 1.05 * len(solves) + 1.3)
    labels = [f"{'' if alone else label + chr(10)}{rounds} solver\nsteps" for _, rounds, label in solves]
    _grid(path, chain, [f"$x_{{{at}}}$" for at in shown], [*labels, "sequential\nchain"], size)
    title = f"{about['dataset']}, T = {T}" + (f", {solves[0][2]}" if alone else "")
    after = "; ".join(f"{label} after {rounds} solver steps" for _, rounds, label in solves)
    alt = f"Rows of images of {title}, states {', '.join(f'x_{at}' for at in shown)}: {after}; and step by step."
    data, facts = [], []
    for (method, rounds, label), errors in zip(solves, chain["error"].tolist(), strict=True):
        keys = {"dataset": about["dataset"], "method": method, "rounds": rounds, "T": T}
        data += [{**keys, "state": at, "error": f"{error:.6g}"} for at, error in zip(shown, errors, strict=True)]
        which = title if alone else f"{title}, {label}, {rounds} steps"
        facts.append(f"{which}: x_{shown[-1]} differs by {number(errors[-1], '.2g')}.")
    return entry(path, title, alt, size), data, facts


def _samples(exhibit: Exhibit, drawing: Any, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    heads = [f"eta = {eta:g}" for eta in loaded["eta"]]
    size = (1.1 * len(heads) + 1.1, 2.75)
    grid = loaded | {name: loaded[name][None] for name in ("joint", "error")}
    _grid(path, grid, heads, ("solved\njointly", "step\nby step"), size)
    title = f"{about['dataset']}, T = {about['T']}, {quantity(about['method'], '', exhibit.spec.labels)}"
    alt = f"Two rows of images of {title}, from one x_T at {', '.join(heads)}: solved jointly and step by step."
    columns = zip(*(loaded[name].tolist() for name in ("eta", "rounds", "error")), strict=True)
    data = [{**about, "eta": eta, "rounds": rounds, "error": f"{error:.6g}"} for eta, rounds, error in columns]
    rounds = ", ".join(str(count) for count in loaded["rounds"].tolist())
    yield entry(path, title, alt, size), data, [f"{title}: {rounds} solver steps at {', '.join(heads)}."]


def _grid(
    path: Path, shown: dict[str, np.ndarray], heads: list[str], labels: Sequence[str], size: tuple[float, float]
) -> None:
    """Draws rows of images: `joint` (k, n, C, H, W) with their `error` (k, n) below, and the `sequential` ones."""
    errors = [[f"{error:.1e}" if error else "0" for error in line] for line in shown["error"]]
    images = (*shown["joint"], shown["sequential"])
    sheet(path, heads, list(zip(labels, images, [*errors, [""] * len(heads)], strict=True)), size)


KINDS: dict[str, Callable[[Exhibit, Any, Any, Path], Drawn]] = {
    "bars": draw_bars,
    "curves": draw_curves,
    "errors": draw_errors,
    "histogram": draw_histogram,
    "pareto": draw_pareto,
    "race": draw_race,
    "scatter": draw_scatter,
    "latents": Images(_latents, [UNDER]),
    "samples": Images(_samples, [UNDER]),
    **pictures.KINDS,
    **watermarks.KINDS,
}
