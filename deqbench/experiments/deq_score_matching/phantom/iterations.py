"""Rounds that Picard's iteration takes in a model's equilibrium layers, by where it starts and when it ends.

Source: table 10 and appendix F; section 3.4 on starting from the fixed point of the training iteration before.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.phantom.builders import BUILDERS
from deqbench.experiments.deq_score_matching.phantom.config import Iterations, Start, Tolerance
from deqbench.experiments.deq_score_matching.phantom.job import CountJob
from deqbench.experiments.rows import Row
from deqbench.solvers.deq import DEQ, differentiated
from deqbench.solvers.resolvent import NotConverged

Inputs = tuple[Tensor, ...]


@dataclass
class Known:
    """What one layer's solves have found so far, to start others from. States are (*groups, B, *dims)."""

    axis: int  # of the rows: 1 where a layer has groups
    previous: Tensor | None = None  # of the batch before
    by_row: Tensor | None = None  # the latest of each row of the data, NaN where there is none

    def start(self, name: Start, like: Tensor, rows: Tensor | None) -> Tensor:
        """The state to start from, like a state; zeros where nothing fits.

        cold: zeros. previous: those of the batch before, in its order. mean: their mean. cache: each row's own latest
        one, and where there is none the mean.
        """
        before = self.previous
        if name == "cold" or before is None or (name == "previous" and before.shape != like.shape):
            return torch.zeros_like(like)
        if name == "previous":
            return before
        mean = before.mean(self.axis, keepdim=True).expand_as(like)
        if name == "mean" or self.by_row is None or rows is None:
            return mean
        own = self.by_row.index_select(self.axis, rows)
        return torch.where(own.isnan(), mean, own)

    def learn(self, state: Tensor, rows: Tensor | None, count: int) -> None:
        """Takes up the states of a batch; rows: (B,) their numbers among `count`."""
        self.previous = state
        if rows is not None:
            if self.by_row is None:
                shape = [*state.shape]
                shape[self.axis] = count
                self.by_row = state.new_full(shape, torch.nan)
            self.by_row.index_copy_(self.axis, rows, state)


@dataclass
class Watched:
    """The equilibrium layers of a model, and what is known of each. call: runs the model on rows (B, ...)."""

    net: nn.Module
    call: Callable[[Tensor], Any]
    count: int = 0  # rows of the data
    known: dict[str, Known] = field(default_factory=dict)

    @torch.no_grad()
    def inputs(self, x: Tensor) -> dict[str, tuple[DEQ, Inputs]]:
        """The layers by name, each with the inputs of its last call when the model is run on rows x."""
        seen: dict[str, tuple[DEQ, Inputs]] = {}
        hooks = [
            layer.register_forward_pre_hook(lambda layer, args, name=name: seen.__setitem__(name, (layer, args)))
            for name, layer in self._layers().items()
        ]
        try:
            self.call(x)
        finally:
            for hook in hooks:
                hook.remove()
        return seen

    def rounds(self, x: Tensor, rows: Tensor | None, asked: Iterations) -> Iterator[Row]:
        """Rows of a batch by start and tolerance, means over layers.

        iterations: rounds until the last of the rows has met the tolerance; iterations_row: mean over rows of their
        own rounds; unconverged: the share that has not met it, for which all rounds are counted.
        """
        layers = self.inputs(x)
        for start in asked.starts:
            for end, tolerance in asked.tolerances.items():
                ended = [self._solved(name, *at, start, rows, tolerance, asked.max_iter) for name, at in layers.items()]
                by_metric = {
                    "iterations": [float(rounds.max()) for rounds, _ in ended],
                    "iterations_row": [float(rounds.double().mean()) for rounds, _ in ended],
                    "unconverged": [float((~met).double().mean()) for _, met in ended],
                }
                for metric, values in by_metric.items():
                    yield {"method": f"{start}-{end}", "metric": metric, "value": sum(values) / len(values)}

    def learn(self, rows: Tensor | None) -> None:
        """Keeps the states that each layer's last call has found, of rows with these numbers (B,)."""
        for name, layer in self._layers().items():
            known = self._of(name, layer)
            assert layer.last is not None
            cell: Any = layer.cell
            groups = cell.matrix().shape[:-2] if known.axis else ()
            z = layer.last.z.detach()
            known.learn(z.view(*groups, -1, *z.shape[1:]), rows, self.count)

    def _solved(
        self, name: str, layer: DEQ, inputs: Inputs, start: Start, rows: Tensor | None, to: Tolerance, most: int
    ) -> tuple[Tensor, Tensor]:
        """Rounds and whether they have converged, by row (and group)."""
        shape = inputs[0].shape if layer.dims is None else (len(inputs[0]), *layer.dims)
        z0 = self._of(name, layer).start(start, inputs[0].new_zeros(*shape), rows)
        _solve(layer, inputs, z0, to, most)
        assert layer.last is not None
        return layer.last.rounds, layer.last.converged

    def _layers(self) -> dict[str, DEQ]:
        return {name: module for name, module in self.net.named_modules() if isinstance(module, DEQ)}

    def _of(self, name: str, layer: DEQ) -> Known:
        cell: Any = layer.cell
        axis = getattr(cell.prepared(), "groups", 0) if hasattr(cell, "prepared") else 0
        return self.known.setdefault(name, Known(axis))


@torch.no_grad()
def _solve(layer: DEQ, inputs: Inputs, z0: Tensor | None, to: Tolerance, most: int) -> Tensor:
    """The state of a layer by Picard's iteration; who does not converge is counted by the caller."""
    with differentiated(layer, solver="picard", max_iter=most, **to.model_dump()), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        return layer(*inputs, z0=z0)  # type: ignore[no-any-return]


def of_model(job: CountJob, weights: Path, data: Path) -> Iterator[Row]:
    """Rows of a trained model on consecutive batches of its data; weights stand still, so no row starts at its own."""
    built = BUILDERS[job.model.network](weights, data, job.section)
    asked = job.iterations.model_copy(update={"starts": [s for s in job.iterations.starts if s != "cache"]})
    watched = Watched(built.net, built.call, len(built.train))
    for step, x in enumerate(built.train.split(job.model.batch)[: job.model.batches]):
        keys = {"row": job.model.printed, "seed": 0, "step": step, "unit": ""}
        yield from ({**keys, **row} for row in watched.rounds(x, None, asked))
        with torch.no_grad():
            built.call(x)
        watched.learn(None)
