"""Figures from records: deterministic SVG files, the drawn data beside them, and what a reader must know."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench.errors import unknown
from deqbench.papers import Exhibit
from deqbench.records import write_frame, write_json
from deqbench.report.blocks import number
from deqbench.report.canvas import entry, sheet
from deqbench.report.curves import draw_curves, quantity
from deqbench.report.pareto import draw_pareto
from deqbench.report.performance import draw_errors
from deqbench.report.pictures import draw_triplets, draw_updates
from deqbench.report.race import draw_race
from deqbench.report.scatter import draw_scatter
from deqbench.report.sources import of_kind, tensors
from deqbench.report.watermarks import draw_confusion, draw_edits, draw_rings

UNDER = "The number under an image is its relative difference to the sequential chain's."


def draw(exhibit: Exhibit, records: Sequence[Path], out: Path) -> None:
    """Draws the figure that the exhibit's spec declares from its `records` (files) into the folder `out`.

    Leaves SVG files, `data.csv` and, last, `figure.json` with `files` (file, title, alt, width in pixels),
    `data` and `facts`.
    UserError: the spec's kind is unknown, or there are no records to draw.
    """
    kinds: dict[str, Callable[[Exhibit, Sequence[Path], Path], dict[str, Any]]] = {
        "curves": draw_curves,
        "latents": _latents,
        "samples": _samples,
        "errors": draw_errors,
        "pareto": draw_pareto,
        "race": draw_race,
        "scatter": draw_scatter,
        "triplets": draw_triplets,
        "updates": draw_updates,
        "confusion": draw_confusion,
        "rings": draw_rings,
        "edits": draw_edits,
    }
    kind = str(exhibit.spec.get("kind"))
    if kind not in kinds:
        raise unknown(f"{exhibit.paper}/{exhibit.id}: figures.yaml: kind", kind, kinds)
    about = kinds[kind](exhibit, records, out)
    write_json(out / "figure.json", {"exhibit": f"{exhibit.paper}/{exhibit.id}", "data": "data.csv", **about})


def _latents(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    files, facts, data = [], [], []
    for source in of_kind(exhibit, records, ".safetensors"):
        loaded, about = tensors(source)
        solves = [(*words.split(" "), _method(exhibit, words.split(" ")[0])) for words in about["solves"].split(", ")]
        alone = len({label for *_, label in solves}) == 1  # one method: it is named in the title
        for T in sorted({int(key.split(".")[0].removeprefix("T")) for key in loaded}, reverse=True):
            chain = {key.split(".")[1]: tensor for key, tensor in loaded.items() if key.startswith(f"T{T}.")}
            shown = [int(at) for at in chain["indices"]]
            size = (0.85 * len(shown) + (0.9 if alone else 1.9), 1.05 * len(solves) + 1.3)
            file = f"{source.stem}-T{T}.svg"
            labels = [f"{'' if alone else label + chr(10)}{rounds} solver\nsteps" for _, rounds, label in solves]
            _grid(out / file, chain, [f"$x_{{{at}}}$" for at in shown], [*labels, "sequential\nchain"], size)
            title = f"{about['dataset']}, T = {T}" + (f", {solves[0][2]}" if alone else "")
            states = ", ".join(f"x_{at}" for at in shown)
            after = "; ".join(f"{label} after {rounds} solver steps" for _, rounds, label in solves)
            alt = f"Rows of images of {title}, states {states}: {after}; and step by step."
            files.append(entry(out / file, title, alt, size))
            for (method, rounds, label), errors in zip(solves, chain["error"].tolist(), strict=True):
                keys = {"dataset": about["dataset"], "method": method, "rounds": rounds, "T": T}
                data += [
                    {**keys, "state": at, "error": f"{error:.6g}"} for at, error in zip(shown, errors, strict=True)
                ]
                which = title if alone else f"{title}, {label}, {rounds} steps"
                facts.append(f"{which}: x_{shown[-1]} differs by {number(errors[-1], '.2g')}.")
    write_frame(out / "data.csv", pd.DataFrame(data))
    return {"files": files, "facts": [UNDER, *facts]}


def _samples(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    files, facts, data = [], [], []
    for source in of_kind(exhibit, records, ".safetensors"):
        loaded, about = tensors(source)
        heads = [f"eta = {eta:g}" for eta in loaded["eta"]]
        size = (1.1 * len(heads) + 1.1, 2.75)
        grid = loaded | {name: loaded[name][None] for name in ("joint", "error")}
        _grid(out / f"{source.stem}.svg", grid, heads, ("solved\njointly", "step\nby step"), size)
        title = f"{about['dataset']}, T = {about['T']}, {_method(exhibit, about['method'])}"
        alt = f"Two rows of images of {title}, from one x_T at {', '.join(heads)}: solved jointly and step by step."
        files.append(entry(out / f"{source.stem}.svg", title, alt, size))
        columns = zip(*(loaded[name].tolist() for name in ("eta", "rounds", "error")), strict=True)
        data += [{**about, "eta": eta, "rounds": rounds, "error": f"{error:.6g}"} for eta, rounds, error in columns]
        rounds = ", ".join(str(count) for count in loaded["rounds"].tolist())
        facts.append(f"{title}: {rounds} solver steps at {', '.join(heads)}.")
    write_frame(out / "data.csv", pd.DataFrame(data))
    return {"files": files, "facts": [UNDER, *facts]}


def _method(exhibit: Exhibit, name: str) -> str:
    return quantity(name, "", {"labels": {}, **exhibit.spec})


def _grid(
    path: Path, shown: dict[str, np.ndarray], heads: list[str], labels: Sequence[str], size: tuple[float, float]
) -> None:
    """Rows of images, those of `joint` (k, n, C, H, W) with their `error` (k, n) below, and the `sequential` ones."""
    errors = [[f"{error:.1e}" if error else "0" for error in line] for line in shown["error"]]
    images = (*shown["joint"], shown["sequential"])
    sheet(path, heads, list(zip(labels, images, [*errors, [""] * len(heads)], strict=True)), size)
