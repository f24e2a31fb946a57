"""A deep-equilibrium layer around any module."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from deqbench.solvers.blocks import Convolution, Dense
from deqbench.solvers.implicit import Equilibrium, attached, damped_steps, fixed_point
from deqbench.solvers.implicit_jets import any_jet, block_jet, inverses
from deqbench.solvers.jets import Jet
from deqbench.solvers.resolvent import Resolvent

DEFAULTS = {name: one.default for name, one in signature(fixed_point).parameters.items()}
LIMITS = ("tol", "max_iter")  # an adjoint's are those of the solve unless said
FEW = 4  # right-hand sides for which a series costs less than a factorisation


class DEQ(nn.Module):
    """x -> the solution z of z = cell(z, x), (B, *dims), with its derivatives, in training and in eval mode alike.

    cell: a module of state and inputs that gives the next state; samples by themselves, the same value at each call. If
    it has `prepared()`, the function that this returns is solved for, so that weights are normalised once a call. dims:
    the shape of a sample's state; None: that of the first input's. settings: those of deqbench.fixed_point. `last` is
    the result of the last call without its graph: rounds, residuals, converged, and the linear solves of backward
    passes as they come; None before the first.

    An input may be a jet (deqbench.solvers.jets): the output then is one, by the same `derivative`; its graph can be
    differentiated once. A block of deqbench.solvers.blocks has a rule of its own for `exact`, which plain inputs take
    too where order is 1.
    """

    last: Equilibrium | None

    def __init__(self, cell: nn.Module, *, dims: tuple[int, ...] | None = None, **settings: Any) -> None:
        super().__init__()
        self.cell, self.dims, self.last, self.settings = cell, dims, None, settings

    def forward(self, *inputs: Any, z0: Tensor | None = None) -> Any:
        """z of the inputs, each (B, ...), solved for from z0, (B, *dims); None: from zeros."""
        if z0 is None:
            shape = inputs[0].shape if self.dims is None else (len(inputs[0]), *self.dims)
            z0 = inputs[0].new_zeros(*shape)
        module: Any = self.cell
        cell = module.prepared() if hasattr(module, "prepared") else module
        block = isinstance(cell, Dense | Convolution)
        jets = any(isinstance(one, Jet) for one in inputs)
        exact = self.settings.get("derivative", "exact") == "exact"
        if jets or (exact and block and self.settings.get("order") == 1 and torch.is_grad_enabled()):
            return self._jet(cell, z0, inputs, jets)
        f, flat = _flattened(cell, z0)
        equilibrium = fixed_point(f, flat, *inputs, **self.settings)
        self.last = replace(equilibrium, z=equilibrium.z.detach())
        return equilibrium.z.view(z0.shape)

    def _jet(self, cell: Any, z0: Tensor, inputs: tuple[Any, ...], jets: bool) -> Any:
        """The jet of z, or z alone, by one backward pass only."""
        settings = {**DEFAULTS, **self.settings}
        values = [one.value if isinstance(one, Jet) else one for one in inputs]
        f, flat = _flattened(cell, z0)
        with torch.no_grad():
            self.last = fixed_point(f, flat, *values, **self.settings)
        z = self.last.z.view(z0.shape)
        if settings["derivative"] != "exact":
            unrolled = settings["derivative"] == "unrolled"
            steps = max(self.last.rounds.tolist(), default=0) if unrolled else settings["steps"]
            return damped_steps(lambda state: cell(state, *inputs), Jet(z0 if unrolled else z), steps, settings["tau"])
        tol, most = (settings[n] if settings[f"adjoint_{n}"] is None else settings[f"adjoint_{n}"] for n in LIMITS)
        if isinstance(cell, Dense | Convolution):
            g = inputs[0] if isinstance(inputs[0], Jet) else Jet(inputs[0])
            contracts = settings["solver"] == "picard" and settings["adjoint"] != "dense"  # by the same iteration
            few = g.tangents is None or len(g.tangents) <= FEW
            maker = inverses(cell, settings["adjoint"], tol, most, series=contracts and few)
            jet, inverse = block_jet(cell, z, g, maker)
            self.last = replace(self.last, linear_solves=inverse.solves)
            return jet if jets else jet.value
        system = Resolvent(lambda state: cell(state, *values), z, adjoint=settings["adjoint"], tol=tol, max_iter=most)
        self.last = replace(self.last, linear_solves=system.solves)
        return any_jet(cell, attached(system, 1), inputs, system)

    def extra_repr(self) -> str:
        """The settings given."""
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())


def _flattened(cell: Any, z0: Tensor) -> tuple[Callable[..., Tensor], Tensor]:
    """The cell and a state whose first axis holds the samples of all groups."""
    if not getattr(cell, "groups", 0):
        return cell, z0
    return lambda z, *inputs: cell(z.view(z0.shape), *inputs).flatten(0, 1), z0.flatten(0, 1)


@contextmanager
def differentiated(module: nn.Module, **settings: Any) -> Iterator[None]:
    """Within the block all DEQ layers of a module have these settings, such as derivative, over their own."""
    layers = [layer for layer in module.modules() if isinstance(layer, DEQ)]
    before = [layer.settings for layer in layers]
    for layer in layers:
        layer.settings = {**layer.settings, **settings}
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.settings = own
