"""A data set of any kind with its three splits, and the one file that holds it.

Networks and feature extractors see `train` only, settings are chosen on `tuning`, results use `test`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from deqbench.errors import UserError
from deqbench.records import write_tensors

SPLITS = ("train", "tuning", "test")
LABELS = tuple(f"{split}_labels" for split in SPLITS)
Kind = Literal["images", "table", "density", "tasks"]


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, float32, and what may be learnt about their rows.

    Images (N, C, H, W) are in [-1, 1]; rows of a table or a density are (N, d); the items of tasks have any shape, and
    their labels are classes, other ones in each split.
    """

    train: Tensor
    tuning: Tensor
    test: Tensor
    symmetric: bool  # turned and mirrored images are as likely as the originals
    train_labels: Tensor | None = None  # (N,) classes as int64, or a table's target as float32
    test_labels: Tensor | None = None
    tuning_labels: Tensor | None = None
    kind: Kind = "images"
    about: Mapping[str, Any] = field(default_factory=dict)  # JSON: licence, columns, parameters of a density

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one row: of an image (C, H, W)."""
        return tuple(self.train.shape[1:])  # type: ignore[return-value]

    def parts(self) -> dict[str, tuple[Tensor, ...]]:
        """The rows of each split and, where it has any, their labels, as a training takes them."""
        pairs = {split: (getattr(self, split), getattr(self, f"{split}_labels")) for split in SPLITS}
        return {split: tuple(part for part in pair if part is not None) for split, pair in pairs.items()}


def save(dataset: Dataset, path: Path) -> None:
    """Writes the splits atomically, images as uint8 (level 255 is +1): digits have 17 levels, nothing is lost to sight.

    The metadata say what `kind` it is and, as JSON, what else there is to know `about` it.
    """
    tensors = {split: getattr(dataset, split) for split in SPLITS}
    if dataset.kind == "images":
        tensors = {split: ((rows + 1) * 127.5).round().clamp(0, 255).byte() for split, rows in tensors.items()}
    tensors["symmetric"] = torch.tensor(dataset.symmetric)
    tensors |= {name: labels for name in LABELS if (labels := getattr(dataset, name)) is not None}
    write_tensors(path, tensors, metadata={"kind": dataset.kind, "about": json.dumps(dict(dataset.about))})


def load(path: Path, kind: Kind | None = "images") -> Dataset:
    """The data set that `save` wrote. UserError: the file is missing, cut short, empty, or of another kind or form.

    kind: the one that is wanted; None takes any.
    """
    try:
        with safe_open(path, framework="pt") as file:
            known = file.metadata() or {}
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: expected a data set in safetensors; found: {error}") from error
    stored = known.get("kind", "images")
    if kind not in (None, stored):
        raise UserError(f"{path}: expected a data set of kind '{kind}'; found '{stored}'")
    for split in SPLITS:
        _check(path, split, stored, tensors)
    if "symmetric" not in tensors:
        raise UserError(f"{path}: expected the entry 'symmetric'; found none")
    rows = {split: tensors[split] for split in SPLITS}
    if stored == "images":
        rows = {split: levels.float() / 127.5 - 1 for split, levels in rows.items()}
    labels = {name: tensors.get(name) for name in LABELS}
    about = json.loads(known.get("about", "{}"))
    return Dataset(**rows, symmetric=bool(tensors["symmetric"]), **labels, kind=stored, about=about)  # type: ignore[arg-type]


def _check(path: Path, split: str, kind: str, tensors: dict[str, Tensor]) -> None:
    """UserError unless the split has rows, of the form of its kind, and a label for each if it has any."""
    what = "images" if kind == "images" else "rows"
    if split not in tensors or not tensors[split].numel():
        raise UserError(f"{path}: expected {what} in the split '{split}'; found none")
    rows, labels = tensors[split], tensors.get(f"{split}_labels")
    form = f"{rows.dtype} {tuple(rows.shape)}"
    if kind == "images" and (rows.ndim != 4 or rows.dtype != torch.uint8):
        raise UserError(f"{path}: {split}: expected uint8 images (N, C, H, W); found {form}")
    if kind != "images" and (rows.ndim < 2 or rows.dtype != torch.float32 or not rows.isfinite().all()):
        raise UserError(f"{path}: {split}: expected finite float32 rows (N, ...); found {form}")
    if labels is not None and labels.shape != rows.shape[:1]:
        raise UserError(f"{path}: {split}_labels: expected one for each of {len(rows)}; found {tuple(labels.shape)}")
