"""A small regression whose every draw matters, trained in a process of its own so that it can be killed for good."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from deqbench.training import stage
from deqbench.training.settings import Optimisation

SETTINGS = {"steps": 40, "batch": 8, "lr": 0.05, "seed": 3, "clip": 1.0, "ema_decay": 0.9, "schedule": "cosine"}
SETTINGS |= {"validate_every": 4, "keep_every": 5}
OUTPUTS = {"weights": "weights.safetensors", "history": "history.parquet", "card": "card.json"}


def rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return x, x.sin().sum(1, keepdim=True)


def net() -> nn.Module:
    """Dropout draws from torch's own generator, normalisation keeps buffers, and a weight is tied to another."""
    torch.manual_seed(0)
    found = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(0.3), nn.Linear(3, 3), nn.Linear(3, 1)
    )
    found[4].weight = found[0].weight
    return found


def loss(module, batch, generator):
    x, y = batch
    return nn.functional.mse_loss(module(x + 0.1 * torch.randn(x.shape, generator=generator)), y)


def moved(module, batch, generator):
    """How far the weights are from where they began: the first validation is the best, and lies before every kill."""
    with torch.random.fork_rng():
        return (module[0].weight - net()[0].weight.detach()).square().sum()


def run(folder: Path, on_step=None, **changes):
    settings = Optimisation(**{**SETTINGS, **changes})
    outputs = {name: folder / file for name, file in OUTPUTS.items()}
    splits = {"train": rows(64, 0), "tuning": rows(20, 1), "test": rows(20, 2)}
    metrics = {"moved": moved, "loss": loss}
    return stage.run(net(), loss, splits, settings, outputs, about={"model": "sine"}, metrics=metrics, on_step=on_step)


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the tests: sums of another number of threads are other sums
    folder, last = Path(sys.argv[1]), int(sys.argv[2])
    run(folder, lambda step, value: os.kill(os.getpid(), signal.SIGKILL) if step == last else None)
