"""Data, networks and losses of a row, each from the slice of its job."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.data import datasets
from deqbench.data.preparing import prepared
from deqbench.data.splits import Dataset
from deqbench.experiments.deq_score_matching.dkef.config import Model, Row, Setting
from deqbench.experiments.deq_score_matching.dkef.job import KernelSlice
from deqbench.score_matching.dkef import DKEF, Equilibria, Perceptrons
from deqbench.score_matching.losses import score_matching_loss
from deqbench.training.trainer import Batch, Loss, step_generator


def data_of(job: KernelSlice, split: int) -> Dataset:
    """The rows of one split, made ready. Of drawn rows the number of the split is the seed."""
    number = "seed" if job.source in ("gaussian", "density") else "split"
    built = datasets.build(job.source, **{**job.options, number: split})
    return prepared(built, **job.data.preparation.model_dump(), seed=split)


def network(row: Row, setting: Setting, model: Model, train: Tensor, seed: int) -> DKEF:
    """A model before its training. Inducing points start at rows of train, the same ones for every row of a seed."""
    generator = step_generator(seed, 0)
    points = train[torch.randperm(len(train), generator=generator)[: model.points]]
    width, d = setting.width or model.width, train.shape[1]
    about: dict[str, Any] = {"copies": model.kernels, "skip": model.skip, "generator": generator}
    extractor: nn.Module
    if row.layers:
        extractor = Perceptrons(d, width, row.layers, **about)
    else:
        block: Any = {"normalisation": setting.normalisation, "bound": setting.bound}
        steps: Any = {"steps": setting.steps} if row.derivative == "phantom" else {}
        solving: Any = {"solver": "picard", "tol": model.tol, "max_iter": model.max_iter, "derivative": row.derivative}
        extractor = Equilibria(d, width, **about, **block, **solving, **steps)
    return DKEF(extractor, points, copies=model.kernels, base_scale=model.base_scale)


def loss_of(row: Row) -> Loss:
    """The loss that the row trains on."""
    sigma: Any = {"sigma": row.sigma} if row.loss == "dsm" else {}

    def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return score_matching_loss(net, batch[0], kind=row.loss, generator=generator, **sigma)

    return loss


def score_matching(net: nn.Module, x: Tensor, *, phantom: int | None = None) -> Tensor:
    """The score-matching loss (B,) of rows x, without its graph, by exact derivatives or those of K further steps."""
    deep = isinstance(net, DKEF) and net.block is not None
    how: dict[str, Any] = {} if not deep else {"derivative": "exact"}
    if deep and phantom:
        how = {"derivative": "phantom", "steps": phantom}
    return score_matching_loss(net, x, kind="sm", reduction="none", **how).detach()


def trimmed(losses: Tensor, share: float) -> Tensor:
    """The mean of losses (B,) without the share of them that is farthest from their median."""
    away = (losses - losses.median()).abs()
    return losses[away.argsort()[: len(losses) - int(share * len(losses))]].mean()


def watched(row: Row, setting: Setting, trim: float) -> dict[str, Loss]:
    """What is measured on tuning rows, a batch (1, N, d) of them all: the exact score-matching loss, by which is
    chosen, and, of a block, what K steps take it for; both without far rows.
    """

    def of(phantom: int | None) -> Loss:
        def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
            return trimmed(score_matching(net, batch[0][0], phantom=phantom), trim)

        return loss

    return {"sm": of(None)} if row.layers else {"sm": of(None), "phantom": of(setting.steps)}
