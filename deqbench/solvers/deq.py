"""A deep-equilibrium layer around any module."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from deqbench.solvers.implicit import Equilibrium, fixed_point


class DEQ(nn.Module):
    """x -> the solution z of z = cell(z, x), (B, *dims), with its derivatives, in training and in eval mode alike.

    cell: a module of state and inputs that gives the next state; samples by themselves, the same value at each call.
    dims: the shape of a sample's state; None: that of the first input's. settings: those of
    deqbench.fixed_point. `last` is the result of the last call without its graph: rounds, residuals, converged, and the
    linear solves of backward passes as they come; None before the first.
    """

    last: Equilibrium | None

    def __init__(self, cell: nn.Module, *, dims: tuple[int, ...] | None = None, **settings: Any) -> None:
        super().__init__()
        self.cell, self.dims, self.last, self.settings = cell, dims, None, settings

    def forward(self, *inputs: Tensor, z0: Tensor | None = None) -> Tensor:
        """z of the inputs, each (B, ...), solved for from z0, (B, *dims); None: from zeros."""
        if z0 is None:
            z0 = inputs[0].new_zeros(len(inputs[0]), *(inputs[0].shape[1:] if self.dims is None else self.dims))
        equilibrium = fixed_point(self.cell, z0, *inputs, **self.settings)
        self.last = replace(equilibrium, z=equilibrium.z.detach())
        return equilibrium.z

    def extra_repr(self) -> str:
        """The settings given."""
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
