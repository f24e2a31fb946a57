"""Pictures of inversions: targets above what each method makes of them, and one image after some updates."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deqbench.papers import Exhibit
from deqbench.papers.drawings import Gallery, Pictures, Triplets
from deqbench.report.blocks import number
from deqbench.report.canvas import entry
from deqbench.report.sheets import About, Images, Sheet, Tensors, sheet

COLUMNS = ["dataset", "T", "row", "column", "loss"]
BELOW = "The number under an image is its loss: the squared distance to the target, summed over all values."


def _triplets(exhibit: Exhibit, drawing: Triplets, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    """A row for the targets, and one for each of the drawing's `rows`.

    The rows name tensors as `<method>@<eta>/best` without their end, or `<method>@<eta>/longer`; those that a file does
    not hold are left out, and so is a file that holds none of them, or not the tensor that the drawing `needs`.
    """
    target = loaded.get("target", np.empty((0,)))
    rows = [
        (_label(label, about), images)
        for key, label in drawing.rows.items()
        if len(images := loaded.get(key if "/" in key else f"{key}/best", ())) == len(target)
    ]
    if not rows or not len(target) or drawing.needs not in loaded:
        return
    heads = [f"image {at + 1}" for at in range(len(target))]
    losses = [[_loss(image, aim) for image, aim in zip(images, target, strict=True)] for _, images in rows]
    file = _sheet(path, about, heads, [("target", target), *rows], [[None] * len(heads), *losses])
    yield file, _data(about, heads, rows, losses), []


def _updates(exhibit: Exhibit, drawing: Pictures, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    """The first target, and what each of the drawing's `rows` has made of it after some updates; the last is the end of
    the method's own budget.
    """
    if not len(loaded.get("target", ())) or "updates" not in loaded:
        return
    target, updates = loaded["target"][0], loaded["updates"].tolist()
    rows = [
        (_label(label, about), images)
        for key, label in drawing.rows.items()
        if 0 < len(images := loaded.get(f"{key}/updates", ())) <= len(updates)
    ]
    if not rows:
        return
    heads = ["target", *(f"update {count}" for count in updates[:-1]), "last"]
    losses = [_spread([_loss(image, target) for image in images], len(updates)) for _, images in rows]
    shown = [(label, [target, *_spread(list(images), len(updates))]) for label, images in rows]
    file = _sheet(path, about, heads, shown, [[None, *row] for row in losses])
    yield file, _data(about, heads[1:], rows, losses), []


def _gallery(exhibit: Exhibit, drawing: Gallery, loaded: Tensors, about: About, path: Path) -> Iterator[Sheet]:
    """A row of generated images for each of the drawing's `rows` that a file holds, without any that is not finite."""
    found = [(label, loaded[name]) for name, label in drawing.rows.items() if len(loaded.get(name, ()))]
    rows = [(label, images) for label, images in found if np.isfinite(images).all()]
    if not rows:
        return
    most = max(len(images) for _, images in rows)
    size = (0.8 * most + 2.2, 0.95 * len(rows) + 0.2)
    shown = [(label.replace(", ", ",\n"), list(images), [""] * len(images)) for label, images in rows]
    sheet(path, [""] * most, shown, size)
    title = f"{about['dataset']}, {path.stem}"
    alt = f"Images of {title}: a row each for {', '.join(label for label, _ in rows)}."
    data = [{"dataset": about["dataset"], "row": label, "images": len(images)} for label, images in rows]
    lost = [label for label, images in found if not np.isfinite(images).all()]
    yield entry(path, title, alt, size), data, [f"{title}: no image of {label} is finite." for label in lost]


def _label(label: str, about: About) -> str:
    return label.replace("{longer}", about.get("longer", "more"))


def _spread(values: list[Any], n: int) -> list[Any]:
    """The last one in the last place, gaps before it: a short budget ends before some of the updates shown."""
    return [*values[:-1], *[None] * (n - len(values)), values[-1]]


def _loss(image: Any, target: Any) -> float:
    return float(np.square(image.astype(np.float64) - target.astype(np.float64)).sum())


def _sheet(
    path: Path, about: About, heads: list[str], rows: Sequence[tuple[str, Any]], losses: list[list[Any]]
) -> dict[str, Any]:
    """The page's entry of one file, drawn here: a row of images for each label, the losses below."""
    path = path.with_name(f"{about['dataset']}-{about['T']}.svg")
    size = (0.95 * len(heads) + 1.5, 1.12 * len(rows) + 0.35)
    below = [["" if value is None else number(value, ".3g") for value in line] for line in losses]
    shown = [(label.replace(", ", ",\n"), images, words) for (label, images), words in zip(rows, below, strict=True)]
    sheet(path, heads, shown, size)
    title = f"{about['dataset']}, T = {about['T']}"
    alt = f"Images of {title}: a row each for {', '.join(label for label, _ in rows)}; columns {', '.join(heads)}."
    return entry(path, title, alt, size)


def _data(
    about: About, heads: list[str], rows: Sequence[tuple[str, Any]], losses: list[list[Any]]
) -> list[dict[str, Any]]:
    keys = {"dataset": about["dataset"], "T": about["T"]}
    return [
        {**keys, "row": label, "column": head, "loss": f"{value:.6g}"}
        for (label, _), line in zip(rows, losses, strict=True)
        for head, value in zip(heads, line, strict=True)
        if value is not None
    ]


SETS = ["dataset", "row", "images"]
KINDS = {
    "gallery": Images(_gallery, [], SETS),
    "triplets": Images(_triplets, [BELOW], COLUMNS),
    "updates": Images(_updates, [BELOW], COLUMNS),
}
