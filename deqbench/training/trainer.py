"""The training loop. Draws come from a generator of (seed, step), so that a resumed run is the same run."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.errors import UserError
from deqbench.training.progress import Progress, run_digest
from deqbench.training.settings import Optimisation

Batch = tuple[Tensor, ...]
Draw = Callable[[int, torch.Generator], Batch]  # of so many rows or tasks
Split = Batch | Draw  # rows that belong together: the same first dimension
Loss = Callable[[nn.Module, Batch, torch.Generator], Tensor]
OnStep = Callable[[int, float], None]  # updates made, loss of the last

DRAWN_BATCHES = 16  # in a validation on a split that can only be drawn from
WATCHED = "tuning"


@dataclass(frozen=True)
class Trained:
    """The outcome of a training."""

    weights: dict[str, Tensor]  # the network's state: of the best validation if there was any, else of the end
    step: int  # that the weights are of
    history: list[tuple[int, str, str, float]]  # step, split, metric, value
    stop: str  # why it ended, as a sentence


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one training step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def train(
    net: nn.Module,
    loss: Loss,
    splits: Mapping[str, Split],
    settings: Optimisation,
    *,
    about: Any = None,
    metrics: Mapping[str, Loss] | None = None,
    state: Path | None = None,
    on_step: OnStep | None = None,
) -> Trained:
    """The weights after `settings.steps` updates on the split `train`, or at the best validation on `tuning`.

    loss: a mean over a batch of rows (or what a split's function draws), computed on the network's device. metrics: by
    name, measured at every validation on all splits but `train` [the loss]; the smaller the first is on `tuning`, the
    better. Gradients are on, for scores need them. state: where progress is kept; a run that finds that of the same
    settings, data and `about` (JSON: what only the loss knows) goes on from there, to the same bits. Layers that draw
    (dropout) use torch's own generator, which the caller seeds; its state is kept with the rest.
    UserError: a loss that is not finite before the first validation. After that it ends the training (see `stop`).
    """
    if settings.validate_every and WATCHED not in splits:
        raise ValueError(f"splits: expected '{WATCHED}' among them, to validate on; found {', '.join(splits)}")
    progress = Progress(net, settings)
    run = run_digest(net, splits, settings, about) if state else ""
    if state:
        progress.restore(state, run)
    net.train()
    stop = ""
    while not stop and progress.step < settings.steps:
        stop = _step(progress, loss, splits, metrics or {"loss": loss}, on_step)
        if state and not stop and progress.step % settings.keep_every == 0:
            progress.store(state, run)
    best = progress.best
    if not best and (stop or not all(p.isfinite().all() for p in net.parameters())):
        raise UserError(stop or "weights: expected finite numbers; found others after the last update")
    stop = stop or f"all {settings.steps} updates made"
    return Trained(best or progress.weights(), progress.best_step if best else progress.step, progress.history, stop)


def _step(
    progress: Progress, loss: Loss, splits: Mapping[str, Split], metrics: Mapping[str, Loss], on_step: OnStep | None
) -> str:
    """Makes one update and what is due after it; the sentence that ends the training, or the empty string."""
    settings, step = progress.settings, progress.step + 1
    value = _update(progress, loss, splits["train"])
    progress.history.append((step, "train", "loss", value))
    if on_step:
        on_step(step, value)
    if not math.isfinite(value):
        return f"train loss: expected a finite number; found {value} at update {step}"
    if settings.validate_every and (step % settings.validate_every == 0 or step == settings.steps):
        _validate(progress, metrics, splits)
        if settings.patience and progress.waited >= settings.patience:
            return f"{settings.patience} validations in a row without a better one than at update {progress.best_step}"
    return ""


def _update(progress: Progress, loss: Loss, split: Split) -> float:
    """The loss of one batch, after the update that it leads to. A loss that is not finite leads to none."""
    net, settings = progress.net, progress.settings
    generator = step_generator(settings.seed, progress.step)
    mean = _loss(net, loss, _drawn(split, settings.batch, generator), generator, settings)
    value = float(mean.detach())
    if math.isfinite(value):
        progress.optimizer.zero_grad()
        mean.backward()
        if settings.clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        progress.optimizer.step()
        progress.updated()
    return value


def _loss(net: nn.Module, loss: Loss, batch: Batch, generator: torch.Generator, settings: Optimisation) -> Tensor:
    device = next(net.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
        return loss(net, tuple(tensor.to(device) for tensor in batch), generator)


def _drawn(split: Split, size: int, generator: torch.Generator) -> Batch:
    if not isinstance(split, tuple):
        return split(size, generator)
    chosen = torch.randint(len(split[0]), (size,), generator=generator)
    return tuple(rows[chosen] for rows in split)


def _batches(split: Split, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Every row once, in order, or as many batches as there are to draw."""
    if isinstance(split, tuple):
        yield from zip(*(rows.split(size) for rows in split), strict=True)
    else:
        yield from (split(size, generator) for _ in range(DRAWN_BATCHES))


def _validate(progress: Progress, metrics: Mapping[str, Loss], splits: Mapping[str, Split]) -> None:
    """Measures every metric with the same draws each time, and keeps the weights if they are the best so far."""
    watched = next(iter(metrics))
    with progress.evaluating() as net:
        for split in (name for name in splits if name != "train"):
            for metric, function in metrics.items():
                value = _mean(net, function, splits[split], progress.settings)
                progress.history.append((progress.step, split, metric, value))
                if (split, metric) == (WATCHED, watched):
                    better = value < progress.best_value
                    progress.waited = 0 if better else progress.waited + 1
                    if better:
                        progress.best_value, progress.best_step = value, progress.step
                        progress.best = progress.weights()


def _mean(net: nn.Module, metric: Loss, split: Split, settings: Optimisation) -> float:
    generator, total, count = step_generator(settings.seed, -1), 0.0, 0
    for batch in _batches(split, settings.batch, generator):
        total += float(_loss(net, metric, batch, generator, settings).detach()) * len(batch[0])
        count += len(batch[0])
    return total / count
