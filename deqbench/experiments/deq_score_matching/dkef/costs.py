"""Parameters of a model, and bytes of one training step: as the paper takes it, and by the cheapest engine here."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from deqbench.experiments.deq_score_matching.dkef.config import Row, Setting
from deqbench.measure.peaks import frozen, peak_bytes
from deqbench.score_matching.dkef import DKEF
from deqbench.score_matching.losses import score_matching_loss


def bytes_of_a_step(net: DKEF, row: Row, setting: Setting, batch: Tensor) -> Iterator[tuple[str, float, str]]:
    """Metric, value and unit of one step, loss and gradients, on a batch (B, d).

    graph_bytes: kept for the backward pass by nested autograd, a dimension at a time, as the paper differentiates (a
    block by K further steps); saved_bytes, peak_bytes: kept, and living at once, by the engine that trainings here use.
    """
    yield "parameters", sum(p.numel() for p in net.parameters()) / 1000, "k"
    weights = list(net.parameters())
    phantom: dict[str, Any] = {} if row.layers else {"derivative": "phantom", "steps": setting.steps}
    with frozen():
        nested = peak_bytes(lambda: _step(net, row, batch, engine="loop", **phantom), weights)
        pushed = peak_bytes(lambda: _step(net, row, batch), weights)
    yield "graph_bytes", float(nested["saved"]), "B"
    yield "saved_bytes", float(pushed["saved"]), "B"
    yield "peak_bytes", float(pushed["peak"]), "B"


def _step(net: DKEF, row: Row, batch: Tensor, **how: Any) -> None:
    sigma: Any = {"sigma": row.sigma} if row.loss == "dsm" else {}
    generator = torch.Generator().manual_seed(0)
    loss = score_matching_loss(net, batch, kind=row.loss, generator=generator, **sigma, **how)
    torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
