"""Pictures of inversions: targets above what each method makes of them, and one image after some updates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deqbench.papers import Exhibit
from deqbench.records import write_frame
from deqbench.report.blocks import number
from deqbench.report.canvas import entry, sheet
from deqbench.report.sources import of_kind, tensors

Images = Any  # (n, C, H, W)
COLUMNS = ["dataset", "T", "row", "column", "loss"]
BELOW = "The number under an image is its loss: the squared distance to the target, summed over all values."


def draw_triplets(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """An SVG file for each data set and T: a row for the targets, and one for each of the spec's `rows`.

    The rows name tensors as `<method>@<eta>/best` without their end, or `<method>@<eta>/longer`; those that a file does
    not hold are left out, and so is a file that holds none of them, or not the tensor that the spec `needs`.
    """
    files, data = [], []
    for source in of_kind(exhibit, records, ".safetensors"):
        found, about = tensors(source)
        target = found.get("target", np.empty((0,)))
        rows = [("target", target)]
        for key, label in exhibit.spec["rows"].items():
            images = found.get(key if "/" in key else f"{key}/best")
            if images is not None and len(images) == len(target):
                rows.append((_label(label, about), images))
        if len(rows) < 2 or not len(target) or exhibit.spec.get("needs", "target") not in found:
            continue
        heads = [f"image {at + 1}" for at in range(len(target))]
        losses: list[list[float | None]] = [
            [_loss(image, aim) for image, aim in zip(images, target, strict=True)] for _, images in rows[1:]
        ]
        files.append(_sheet(out, about, heads, rows, [[None] * len(heads), *losses]))
        data += _data(about, heads, rows[1:], losses)
    return _about(exhibit, out, files, data)


def draw_updates(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    """An SVG file for each data set and T: the first target, and what each of the spec's `rows` has made of it after
    some updates; the last is the end of the method's own budget.
    """
    files, data = [], []
    for source in of_kind(exhibit, records, ".safetensors"):
        found, about = tensors(source)
        if not len(found.get("target", ())) or "updates" not in found:
            continue
        target, updates = found["target"][0], found["updates"].tolist()
        rows = []
        for key, label in exhibit.spec["rows"].items():
            images = found.get(f"{key}/updates")
            if images is not None and 0 < len(images) <= len(updates):
                rows.append((_label(label, about), images))
        if not rows:
            continue
        heads = ["target", *(f"update {count}" for count in updates[:-1]), "last"]
        losses = [_spread([_loss(image, target) for image in images], len(updates)) for _, images in rows]
        shown = [(label, [target, *_spread(list(images), len(updates))]) for label, images in rows]
        files.append(_sheet(out, about, heads, shown, [[None, *row] for row in losses]))
        data += _data(about, heads[1:], rows, losses)
    return _about(exhibit, out, files, data)


def _label(label: str, about: dict[str, str]) -> str:
    return label.replace("{longer}", about.get("longer", "more"))


def _spread(found: list[Any], n: int) -> list[Any]:
    """The last one in the last place, gaps before it: a short budget ends before some of the updates shown."""
    return [*found[:-1], *[None] * (n - len(found)), found[-1]]


def _loss(image: Images, target: Images) -> float:
    return float(np.square(image.astype(np.float64) - target.astype(np.float64)).sum())


def _sheet(
    out: Path,
    about: dict[str, str],
    heads: list[str],
    rows: Sequence[tuple[str, Any]],
    losses: list[list[float | None]],
) -> dict[str, Any]:
    """Draws one file: a row of images for each label, the losses below. Its entry for the page."""
    name = f"{about['dataset']}-{about['T']}.svg"
    size = (0.95 * len(heads) + 1.5, 1.12 * len(rows) + 0.35)
    below = [["" if value is None else number(value, ".3g") for value in line] for line in losses]
    shown = [(label.replace(", ", ",\n"), images, words) for (label, images), words in zip(rows, below, strict=True)]
    sheet(out / name, heads, shown, size)
    title = f"{about['dataset']}, T = {about['T']}"
    alt = f"Images of {title}: a row each for {', '.join(label for label, _ in rows)}; columns {', '.join(heads)}."
    return entry(out / name, title, alt, size)


def _data(
    about: dict[str, str], heads: list[str], rows: Sequence[tuple[str, Any]], losses: list[list[Any]]
) -> list[dict[str, Any]]:
    keys = {"dataset": about["dataset"], "T": about["T"]}
    return [
        {**keys, "row": label, "column": head, "loss": f"{value:.6g}"}
        for (label, _), line in zip(rows, losses, strict=True)
        for head, value in zip(heads, line, strict=True)
        if value is not None
    ]


def _about(exhibit: Exhibit, out: Path, files: list[dict[str, Any]], data: list[dict[str, Any]]) -> dict[str, Any]:
    write_frame(out / "data.csv", pd.DataFrame(data, columns=COLUMNS))
    if not files:
        return {"files": [], "facts": ["No run of this scale has kept these images."]}
    return {"files": files, "facts": [BELOW, *exhibit.spec.get("facts", ())]}
