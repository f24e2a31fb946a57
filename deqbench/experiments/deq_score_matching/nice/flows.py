"""Flows, their data and their losses, as trainings and measurements share them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.nice.config import Flow, Logits, Method
from deqbench.score_matching.logits import logits
from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.nice import NICE, explicit, implicit

ROWS_AT_ONCE = 2**21  # numbers in one layer's tangents of an exact loss, which has one for each dimension


def deal(path: Path, images: Logits, split: int) -> dict[str, Tensor]:
    """Logits (N, d) of train, tuning and test, dealt and dequantised by generators of the split's number."""
    data = datasets.load(path)
    pool = torch.cat([getattr(data, name) for name in images.pool])
    levels = (pool + 1) / 2 * (images.levels - 1)
    y = logits(levels, images.levels, images.edge, torch.Generator().manual_seed(split))
    order = np.random.RandomState(split).permutation(len(y))  # whose stream numpy keeps the same for good
    sizes = [max(1, round(share * len(y))) for share in (images.test, images.tuning)]
    parts = np.split(order, np.cumsum(sizes))
    return {name: y[torch.from_numpy(k)] for name, k in zip(("test", "tuning", "train"), parts, strict=True)}


def build(dimensions: int, flow: Flow, method: Method, seed: int) -> NICE:
    """A flow of the method's kind of coupling. seed: of its weights."""
    if method.couplings == "explicit":
        shift = explicit(flow.width, flow.layers)
    else:
        phantom = {"steps": method.steps} if method.derivative == "phantom" else {}
        shift = implicit(
            flow.width,
            normalisation=flow.normalisation,
            bound=flow.bound,
            solver="picard",
            tol=flow.tol,
            max_iter=flow.max_iter,
            derivative=method.derivative,
            adjoint="picard",
            **phantom,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NICE(dimensions, [shift] * flow.blocks, flow.prior)


class Training:
    """The loss that a method trains by, a function of (net, batch, generator)."""

    def __init__(self, method: Method, engine: str = "auto") -> None:
        self.method, self.engine = method, engine

    def __call__(self, net: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        """The mean over the batch's rows."""
        return score_matching_loss(
            net,
            batch[0],
            kind=self.method.kind,
            sigma=self.method.sigma,
            engine=self.engine,  # type: ignore[arg-type]
            generator=generator,
        )


@torch.no_grad()
def exact_losses(net: nn.Module, y: Tensor, method: Method, width: int) -> Tensor:
    """The score-matching loss of every row of y, (B,), its trace exact and by exact derivatives; width: of a layer."""
    return _losses(net, y, width, "exact" if method.couplings == "implicit" else None)


@torch.no_grad()
def phantom_losses(net: nn.Module, y: Tensor, steps: int, width: int) -> Tensor:
    """What a phantom derivative of so many steps makes of that loss, (B,): the loss of no density."""
    return _losses(net, y, width, "phantom", steps)


def _losses(net: nn.Module, y: Tensor, width: int, derivative: str | None, steps: int = 2) -> Tensor:
    at_once = max(1, ROWS_AT_ONCE // (width * y.shape[1]))
    parts = [
        score_matching_loss(net, part, derivative=derivative, steps=steps, engine="jets", reduction="none")  # type: ignore[arg-type]
        for part in y.split(at_once)
    ]
    return torch.cat(parts)
