"""A training by phantom derivatives, looked at on its way. Source: appendix C; of the rounds, table 10."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.phantom.iterations import Watched
from deqbench.experiments.deq_score_matching.phantom.job import FollowJob
from deqbench.experiments.deq_score_matching.phantom.probes import compared
from deqbench.experiments.rows import Row
from deqbench.score_matching.losses import score_matching_loss
from deqbench.training.trainer import Batch, OnStep, train
from deqbench.training.zoo.densities import started


class Followed:
    """A loss for the trainer that compares, every so many updates, phantom and exact derivatives before the update."""

    def __init__(self, job: FollowJob, net: nn.Module, rows: int) -> None:
        self.job, self.step = job, 0
        self.watched = Watched(net, net, rows)
        self.by_step: list[Row] = []
        self.by_row: list[Row] = []
        self.rounds: list[Row] = []

    def __call__(self, net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        (x, numbers), job = batch, self.job
        if self.step % job.every == 0:
            self._probe(net, x, numbers, generator)
        loss = score_matching_loss(
            net, x, kind=job.method.objective, derivative="phantom", steps=job.form.steps, generator=generator
        )
        if job.iterations is not None:
            self.watched.learn(numbers)
        self.step += 1
        return loss

    def _probe(self, net: nn.Module, x: Tensor, numbers: Tensor, generator: torch.Generator) -> None:
        keys = self._keys()
        made = compared(net, x, self.job.method.objective, self.job.form.steps, generator)
        spread = {"score_error": made.score_error, "score_cosine": made.score_cosine}
        alone = {name: getattr(made, name) for name in ("gradient_cosine", "exact_loss", "phantom_loss")}
        alone |= {"loss_gap": made.phantom_loss - made.exact_loss, "norm": widest(net)}
        alone |= {name: float(values.median()) for name, values in spread.items()}
        self.by_step += [{**keys, "metric": name, "value": value} for name, value in alone.items()]
        for name, values in spread.items():
            self.by_row += [{**keys, "metric": name, "value": float(v)} for v in values[: self.job.kept]]
        self.by_row.append({**keys, "metric": "gradient_cosine", "value": made.gradient_cosine})
        if (asked := self.job.iterations) is not None:
            counts = self.watched.rounds(x, numbers, asked)
            row = {"row": self.job.method.printed or self.job.name}
            self.rounds += [{**keys, **row, **count} for count in counts]

    def _keys(self) -> Row:
        job = self.job
        settings = job.method.optimisation
        late = self.step >= (1 - job.late) * settings.steps
        epochs, all_epochs = (n * settings.batch / self.watched.count for n in (self.step, settings.steps))
        about = {"seed": job.first_seed, "step": self.step, "epoch": round(epochs, 3), "epochs": rounded(all_epochs)}
        return {"method": job.name, **about, "part": "late" if late else "early", "unit": ""}


def follow(job: FollowJob, rows: Tensor, on_step: OnStep) -> Followed:
    """The training of one model on rows (N, d), and what was seen of it."""
    net = started(job.form, rows, job.first_seed)
    followed = Followed(job, net, len(rows))
    settings = job.method.optimisation.model_copy(update={"seed": job.first_seed})
    train(net, followed, {"train": (rows, torch.arange(len(rows)))}, settings, on_step=on_step)
    return followed


def rounded(epochs: float) -> int:
    """The length of a training, to tens where it is long: trainings of about 300 epochs are told as such."""
    return int(round(epochs, -1)) if epochs > 50 else round(epochs)


def widest(net: nn.Module) -> float:
    """The largest singular value of the normalised weights of an equilibrium layer."""
    (cell,) = (module for module in net.modules() if hasattr(module, "matrix"))
    matrix: Any = cell.matrix
    return float(torch.linalg.matrix_norm(matrix().detach(), 2).max())
