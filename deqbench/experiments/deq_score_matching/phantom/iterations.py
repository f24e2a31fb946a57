"""Rounds that Picard's iteration takes in a model's equilibrium layers, by where it starts and when it ends.

Source: table 10 and appendix F; section 3.4 on starting from the fixed point of the training iteration before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.experiments.rows import Row
from deqbench.solvers.deq import DEQ, differentiated

Start = str  # of STARTS
STARTS = ("cold", "previous", "mean", "cache")


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
        if name == "cold" or before is None:
            return torch.zeros_like(like)
        if name == "previous":
            return before if before.shape == like.shape else torch.zeros_like(like)
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
    """The equilibrium layers of a model, and what is known of each; count: rows of the data, 0 without a cache."""

    net: nn.Module
    call: Callable[[Tensor], Any]  # of rows (B, ...): runs the model on them
    count: int = 0
    known: dict[str, Known] = field(default_factory=dict)

    def layers(self) -> dict[str, DEQ]:
        """By name."""
        return {name: module for name, module in self.net.named_modules() if isinstance(module, DEQ)}

    @torch.no_grad()
    def inputs(self, x: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """The inputs of each layer at rows x: those of its last call, if it is called several times."""
        seen: dict[str, tuple[Tensor, ...]] = {}
        hooks = [
            layer.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args))
            for name, layer in self.layers().items()
        ]
        try:
            self.call(x)
        finally:
            for hook in hooks:
                hook.remove()
        return seen

    @torch.no_grad()
    def rounds(
        self, x: Tensor, rows: Tensor | None, starts: list[Start], ends: dict[str, dict[str, float]], max_iter: int
    ) -> Iterator[Row]:
        """Rows of a batch by start and end: rounds until all of a layer's rows have met the tolerance, and by row.

        ends: tolerances by name, `tol` and `atol`. A row that does not meet its own counts `max_iter` rounds.
        """
        inputs = self.inputs(x)
        for start in starts:
            for end, tolerances in ends.items():
                layers = [self._solved(name, args, start, rows, {"tol": 0.0, **tolerances}, max_iter) for name, args in inputs.items()]
                by_metric = {
                    "iterations": [float(rounds.max()) for rounds, _ in layers],
                    "iterations_row": [float(rounds.double().mean()) for rounds, _ in layers],
                    "unconverged": [float((~met).double().mean()) for _, met in layers],
                }
                for metric, values in by_metric.items():
                    yield {"method": f"{start}-{end}", "metric": metric, "value": sum(values) / len(values)}

    def _solved(
        self, name: str, inputs: tuple[Tensor, ...], start: Start, rows: Tensor | None, tolerances: dict[str, float], max_iter: int
    ) -> tuple[Tensor, Tensor]:
        """Rounds and whether they have converged, by row (and group)."""
        layer = self.layers()[name]
        like = _state(layer, inputs)
        z0 = self._known(name, layer).start(start, like, rows)
        with differentiated(layer, solver="picard", max_iter=max_iter, **tolerances):
            layer(*inputs, z0=z0)
        assert layer.last is not None
        return layer.last.rounds, layer.last.converged

    @torch.no_grad()
    def learn(self, x: Tensor, rows: Tensor | None, tolerances: dict[str, float], max_iter: int) -> None:
        """Solves at rows x, with the weights of now, and keeps the states."""
        for name, inputs in self.inputs(x).items():
            layer = self.layers()[name]
            with differentiated(layer, solver="picard", max_iter=max_iter, **{"tol": 0.0, **tolerances}):
                z = layer(*inputs)
            self._known(name, layer).learn(z, rows, self.count)

    def _known(self, name: str, layer: DEQ) -> Known:
        groups = getattr(layer.cell.prepared(), "groups", 0) if hasattr(layer.cell, "prepared") else 0
        return self.known.setdefault(name, Known(axis=1 if groups else 0))


def _state(layer: DEQ, inputs: tuple[Tensor, ...]) -> Tensor:
    """Zeros of the shape of the layer's state."""
    shape = inputs[0].shape if layer.dims is None else (len(inputs[0]), *layer.dims)
    return inputs[0].new_zeros(*shape)
