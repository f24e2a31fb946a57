"""A training as a stage of an experiment: from a network, a loss and splits to three files."""

import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from deqbench import provenance
from deqbench.records import write_frame, write_json, write_tensors
from deqbench.training.settings import Optimisation
from deqbench.training.trainer import Loss, OnStep, Split, Trained, train

HISTORY = ("step", "split", "metric", "value")


def run(
    net: nn.Module,
    loss: Loss,
    splits: Mapping[str, Split],
    settings: Optimisation,
    outputs: Mapping[str, Path],
    *,
    about: dict[str, Any],
    metrics: Mapping[str, Loss] | None = None,
    on_step: OnStep | None = None,
) -> Trained:
    """Trains, leaves the best weights in the network, and writes `weights`, `history` and `card`, paths in `outputs`.

    about: JSON, the rest of the card, of which a resumed run must have the same. The progress of a killed run lies
    beside the weights, in a hidden file, until all is written. Other arguments and UserError: as for `train`.
    """
    started, weights = time.perf_counter(), Path(outputs["weights"])
    state = progress_file(weights)
    trained = train(net, loss, splits, settings, about=about, metrics=metrics, state=state, on_step=on_step)
    net.load_state_dict(trained.weights)
    write_tensors(weights, trained.weights)
    write_history(Path(outputs["history"]), trained)
    at_best = {
        f"{split}_{name}": value if math.isfinite(value) else None
        for step, split, name, value in trained.history
        if step == trained.step
    }
    counts = {name: len(rows[0]) if isinstance(rows, tuple) else "drawn" for name, rows in splits.items()}
    end = {"stop": trained.stop, "step": trained.step}
    card = {**about, "settings": settings.model_dump(), **end, **facts(started, counts, at_best, [weights])}
    write_json(Path(outputs["card"]), card)
    state.unlink(missing_ok=True)
    return trained


def progress_file(out: Path) -> Path:
    """The file that keeps the progress towards a file or folder."""
    return out.parent / f".{out.name}.progress.safetensors"


def write_history(path: Path, trained: Trained) -> None:
    """Writes the history as a table: step, split, metric, value."""
    import pandas as pd

    write_frame(path, pd.DataFrame(trained.history, columns=list(HISTORY)))


def facts(
    started: float, splits: Mapping[str, Any], metrics: Mapping[str, float | None], weights: Iterable[Path]
) -> dict[str, Any]:
    """The end of every card. started: of time.perf_counter(); splits: how many rows each has."""
    return {
        "splits": dict(splits),
        "metrics": dict(metrics),
        "training_s": round(time.perf_counter() - started, 1),
        "sha256": {path.name: provenance.sha256(path) for path in sorted(weights)},
        "packages": provenance.packages(),
    }
