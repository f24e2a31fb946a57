"""Trainings and their scores."""

from typing import Any

import torch
from deqbench.experiments.toy.fits.job import ScoreJob, TrainJob
from safetensors.torch import load_file
from torch import nn

from deqbench.data import datasets
from deqbench.experiments.files import Files, OnStep
from deqbench.training import stage

ROWS = 40  # of a split


class Mean(nn.Module):
    """A vector."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full((dimensions,), 3.0))


def loss(net: nn.Module, batch: tuple[torch.Tensor, ...], generator: torch.Generator) -> torch.Tensor:
    """Half the mean squared distance from the vector."""
    return (batch[0] - net.mean).square().sum(1).mean() / 2


def train(job: TrainJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Weights, history and card of one training."""
    data = datasets.load(files.one("data"), kind=None)
    rows = data.train[job.split * ROWS : (job.split + 1) * ROWS].float()
    splits = {"train": (rows,), "tuning": (data.tuning.float(),)}

    def tell(done: int, value: float) -> None:
        on_step(done, job.optimisation.steps)

    stage.run(Mean(rows.shape[1]), loss, splits, job.optimisation, files.outputs, about=job.model_dump(), on_step=tell)
    return {}


def score(job: ScoreJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """The excess of every training on the test split: half the squared mean, plus what the rows' own mean adds."""
    test, rows = datasets.load(files.one("data"), kind=None).test.float(), []
    for path in files.all("weights"):
        net = Mean(test.shape[1])
        net.load_state_dict(load_file(path))
        true = Mean(test.shape[1])
        nn.init.zeros_(true.mean)
        draw = torch.Generator()
        value = float(loss(net, (test,), draw) - loss(true, (test,), draw))
        keys = {"method": path.parent.name, "split": int(path.stem)}
        rows.append({**keys, "metric": "excess", "value": value, "unit": ""})
    return {"records": rows}
