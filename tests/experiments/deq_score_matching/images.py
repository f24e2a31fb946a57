"""The smoke scale's image experiments, on a few digits."""

from pathlib import Path
from typing import Any

import torch

from deqbench import scale
from deqbench.data import datasets
from deqbench.data.datasets import Dataset
from deqbench.experiments.files import Files
from deqbench.experiments.scope import Scope
from tests.scales import smoke

PAPER = "deq-score-matching"


def scope(experiment: str) -> Scope:
    """An experiment of the smoke scale; its data set without an extractor, so that distances are of pixels."""
    values = smoke()
    section = values["papers"][PAPER]
    values["papers"] = {PAPER: {experiment: section[experiment]}}
    values["datasets"]["digits"].pop("extractor", None)
    return Scope(scale.validate(values, "some.yaml"), PAPER, experiment)


def few(folder: Path) -> Path:
    """A file of eighty digits for training, twenty for tuning and for tests."""
    whole = datasets.digits()
    path = folder / "digits.safetensors"
    datasets.save(Dataset(whole.train[:80], whole.tuning[:20], whole.test[:20], symmetric=False), path)
    return path


def files(**inputs: Path) -> Files:
    """Inputs of a job by name."""
    return Files({name: [path] for name, path in inputs.items()}, {})


def silent(done: int, total: int) -> None:
    """A job's callback."""
    assert 0 < done <= total


def same(left: Any, right: Any) -> bool:
    """Whether two jobs' records say the same, their times apart."""

    def kept(rows: Any) -> list[Any]:
        return [{**row, "train_s": 0} for row in rows if "_s" not in row["metric"]]

    return bool(str(kept(left)) == str(kept(right)))


def finite(tensors: dict[str, torch.Tensor]) -> bool:
    """Whether all images are."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors.values())
