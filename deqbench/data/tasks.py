"""Few-shot tasks: items of classes, other classes in each split, and episodes drawn from them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from deqbench.data.splits import Dataset
from deqbench.errors import UserError


@dataclass(frozen=True)
class Episode:
    """One task: n classes, k labelled items of each to learn from, q to be judged on."""

    support: Tensor  # (n k, *dims)
    support_labels: Tensor  # (n k,) int64 in 0..n-1
    query: Tensor  # (n q, *dims)
    query_labels: Tensor  # (n q,)
    classes: Tensor  # (n,) the data set's own labels of 0..n-1


def tasks(of: str, tuning_classes: int, test_classes: int, seed: int) -> Dataset:
    """The items of a source of classes, dealt by class. UserError: fewer than two classes would be left to train."""
    from deqbench.data import glyphs

    items, labels, licence = digits() if of == "digits" else glyphs.glyphs()
    classes = labels.unique()
    if (left := len(classes) - tuning_classes - test_classes) < 2:
        raise UserError(f"tasks of {of}: expected at least 2 of {len(classes)} classes left for train; found {left}")
    order = classes[torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))]
    parts = zip(("test", "tuning", "train"), order.split([test_classes, tuning_classes, left]), strict=True)
    chosen = {split: torch.isin(labels, dealt).nonzero().flatten() for split, dealt in parts}
    rows = {split: items[k] for split, k in chosen.items()} | {f"{s}_labels": labels[k] for s, k in chosen.items()}
    about = {"of": of, "licence": licence, "seed": seed}
    return Dataset(**rows, symmetric=False, kind="tasks", about=about)  # type: ignore[arg-type]


def digits() -> tuple[Tensor, Tensor, str]:
    """Scikit-learn's digits in [-1, 1] (1797, 1, 8, 8), their classes, and the licence."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels / 8 - 1).float().view(-1, 1, 8, 8)
    return images, torch.from_numpy(labels).long(), "UCI Machine Learning Repository, CC BY 4.0; from scikit-learn"


def episode(dataset: Dataset, split: str, *, way: int, shot: int, queries: int, generator: torch.Generator) -> Episode:
    """A task of `way` classes of a split, drawn without repeats, with `shot` and `queries` items of each.

    UserError: the split has fewer classes, or one of those drawn fewer items.
    """
    items, labels = getattr(dataset, split), getattr(dataset, f"{split}_labels")
    classes = labels.unique()
    if len(classes) < way:
        raise UserError(f"{split}: expected at least {way} classes; found {len(classes)}")
    classes = classes[torch.randperm(len(classes), generator=generator)[:way]]
    drawn = []
    for label in classes:
        own = (labels == label).nonzero().flatten()
        if len(own) < shot + queries:
            raise UserError(f"{split}: expected at least {shot + queries} items of class {label}; found {len(own)}")
        drawn.append(own[torch.randperm(len(own), generator=generator)[: shot + queries]])
    chosen = torch.stack(drawn)  # (n, k + q)
    numbers = torch.arange(way)
    return Episode(
        items[chosen[:, :shot].flatten()],
        numbers.repeat_interleave(shot),
        items[chosen[:, shot:].flatten()],
        numbers.repeat_interleave(queries),
        classes,
    )


def episodes(
    dataset: Dataset, split: str, *, way: int, shot: int, queries: int
) -> Callable[[int, torch.Generator], tuple[Tensor, ...]]:
    """A split to train on: a function of how many tasks and a generator.

    It gives support (B, n k, *dims), its labels (B, n k), queries (B, n q, *dims) and theirs (B, n q).
    """

    def draw(size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        options = {"way": way, "shot": shot, "queries": queries}
        drawn = [episode(dataset, split, **options, generator=generator) for _ in range(size)]
        parts = [(one.support, one.support_labels, one.query, one.query_labels) for one in drawn]
        return tuple(torch.stack(part) for part in zip(*parts, strict=True))

    return draw
