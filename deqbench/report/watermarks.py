"""Figures of watermarks and edits: confusion matrices, recovered rings, edited images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deqbench.papers import Exhibit
from deqbench.papers.drawings import Pictures
from deqbench.report.blocks import number
from deqbench.report.canvas import canvas, entry, picture
from deqbench.report.sheets import About, Images, Sheet, Tensors

KEYS = "Keys are numbered from 1."
DISTANCE = "The number under a pattern is its mean distance to the true key's coefficients; a cross marks a wrong key."
WRONG = " \N{MULTIPLICATION SIGN}"
BACKGROUND = "The number under an image is the NMSE of its background, outside the frame, in dB."


def _confusion(exhibit: Exhibit, drawing: Pictures, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    """For each method of the drawing's `rows` the images by true key (row) and found key (column)."""
    drawn = {label: loaded[f"{name}/confusion"] for name, label in _rows(drawing, loaded, "confusion")}
    size, title = (1.95 * len(drawn) + 0.5, 2.35), about["dataset"]
    right = {label: f"{counts.trace()} of {counts.sum()}" for label, counts in drawn.items()}
    with canvas(path, (1, len(drawn)), size) as (_, axes):
        for ax, (label, counts) in zip(axes[0], drawn.items(), strict=True):
            _matrix(ax, counts, f"{label}\n{right[label]}")
    words = "; ".join(f"{label} {share}" for label, share in right.items())
    alt = f"Confusion matrices of {title}, right on the diagonal: {words}."
    data = [
        {"dataset": title, "method": label, "key": at[0] + 1, "found": _key(at[1], counts), "images": int(count)}
        for label, counts in drawn.items()
        for at, count in np.ndenumerate(counts)
    ]
    yield entry(path, title, alt, size), data, []


def _key(column: int, counts: np.ndarray) -> str:
    return str(column + 1) if column < len(counts) else "none"


def _matrix(ax: Any, counts: np.ndarray, title: str) -> None:
    """Draws counts (K, K + 1), the last column only where an image has no key at all."""
    shown = counts if counts[:, -1].any() else counts[:, :-1]
    ax.imshow(shown, cmap="Blues", vmin=0, vmax=counts.sum(1).max())
    for (row, column), count in np.ndenumerate(shown):
        dark = count > 0.6 * counts.sum(1).max()
        ax.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    names = [_key(column, counts) for column in range(shown.shape[1])]
    ax.set(xticks=range(len(names)), xticklabels=names, yticks=range(len(counts)), yticklabels=names[: len(counts)])
    ax.set(xlabel="key found", ylabel="true key")
    ax.set_title(title)


def _rings(exhibit: Exhibit, drawing: Pictures, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    """A row an image: the key's rings and what each method of the drawing's `rows` recovers."""
    if not len(loaded.get("key", ())):
        return
    methods, data = _rows(drawing, loaded, "rings"), []
    heads = ["key", *(label for _, label in methods)]
    size = (1.15 * len(heads) + 0.7, 1.3 * len(loaded["key"]) + 0.45)
    limit = float(np.nanmax(np.abs(loaded["key"])))
    with canvas(path, (len(loaded["key"]), len(heads)), size) as (_, axes):
        for image, line in enumerate(axes):
            key = int(loaded["which"][image])
            line[0].set_ylabel(f"key {key + 1}", rotation=0, ha="right", va="center")
            _pattern(line[0], loaded["key"][image], limit, "")
            for ax, (name, label) in zip(line[1:], methods, strict=True):
                distance, right = loaded[f"{name}/distance"][image], loaded[f"{name}/predicted"][image] == key
                below = number(float(distance), ".2f") + ("" if right else WRONG)
                _pattern(ax, loaded[f"{name}/rings"][image], limit, below)
                about_cell = {"dataset": about["dataset"], "image": image, "key": key + 1, "method": label}
                data.append({**about_cell, "distance": f"{distance:.6g}", "right": int(right)})
        for ax, head in zip(axes[0], heads, strict=True):
            ax.set_title(head.replace(", ", ",\n"))
    alt = f"Fourier patterns of {about['dataset']}, one row an image: {', '.join(heads)}."
    yield entry(path, about["dataset"], alt, size), data, []


def _pattern(ax: Any, values: np.ndarray, limit: float, below: str) -> None:
    ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(below, fontsize=7.5)
    ax.spines[:].set_visible(False)


def _edits(exhibit: Exhibit, drawing: Pictures, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    """A row for the originals, framed where they are edited, and one for each of the drawing's `rows`."""
    originals, frame = loaded["original"], _frame(loaded["mask"], loaded["original"].shape[-1])
    methods, data = _rows(drawing, loaded, "background"), []
    if not len(originals):
        return
    size = (1.15 * len(originals) + 1.6, 1.3 * (len(methods) + 1) + 0.2)
    with canvas(path, (len(methods) + 1, len(originals)), size) as (_, axes):
        for line, (name, label) in zip(axes, [("original", "original"), *methods], strict=True):
            line[0].set_ylabel(label.replace(", ", ",\n"), rotation=0, ha="right", va="center")
            for image, ax in enumerate(line):
                picture(ax, loaded[name][image])
                if name == "original":
                    ax.plot(*_corners(*frame), color="#de8f05", linewidth=1)
                    continue
                value = float(loaded[f"{name}/background"][image])
                ax.set_xlabel(number(value, ".1f"), fontsize=7.5)
                keys = {"dataset": about["dataset"], "method": label, "image": image}
                data.append({**keys, "background_nmse_db": f"{value:.6g}"})
    words = ", ".join(label for _, label in methods)
    alt = f"Images of {about['dataset']}, the middle edited: a row each for the originals, {words}."
    yield entry(path, about["dataset"], alt, size), data, []


def _rows(drawing: Pictures, loaded: Tensors, part: str) -> list[tuple[str, str]]:
    """Name and label of the drawing's `rows` that the file holds."""
    return [(name, label) for name, label in drawing.rows.items() if f"{name}/{part}" in loaded]


def _frame(mask: np.ndarray, width: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of the mask's box, in pixels of an image that wide."""
    rows, columns = (np.flatnonzero(mask.any(axis)) * (width // mask.shape[-1]) for axis in (1, 0))
    step = width // mask.shape[-1]
    return float(columns[0]), float(rows[0]), float(np.ptp(columns) + step), float(np.ptp(rows) + step)


def _corners(left: float, top: float, width: float, height: float) -> tuple[list[float], list[float]]:
    x, y = left - 0.5, top - 0.5
    return [x, x + width, x + width, x, x], [y, y, y + height, y + height, y]


KINDS = {
    "confusion": Images(_confusion, [KEYS]),
    "rings": Images(_rings, [KEYS, DISTANCE]),
    "edits": Images(_edits, [BACKGROUND]),
}
