"""Jets: a value with its derivatives along directions and their sum of second derivatives, pushed through functions.

A module made of functions known here runs unchanged on a jet in place of its input. With all unit directions the jet of
a log density holds its gradient and its Laplacian, without a graph to be differentiated twice; with one direction v it
holds v' grad and v' H v. All of it keeps the graph of the parameters, which may be differentiated once.

Directions that a linear layer has just mapped to fewer features are replaced by these features' own, with the matrix
that leads back and its Gram matrix as a metric: derivatives of a network whose first layer is narrow then cost what
that layer is wide, whatever the dimension of x.

Source: the forward Laplacian, Li et al., "A computational framework for neural network-based variational Monte Carlo
with forward Laplacian" (2024); Dangel et al., "Collapsing Taylor mode automatic differentiation" (2025).
"""

import torch
from torch import Tensor

import deqbench.solvers.jet_rules  # fills in the rules, as the next one does
import deqbench.solvers.jet_shapes  # noqa: F401
from deqbench.solvers.jet import RULES, Basis, Jet, aligned

__all__ = ["RULES", "Basis", "Jet", "aligned", "start"]


def start(x: Tensor, directions: Tensor | None = None, *, second: bool = True) -> Jet:
    """The jet of the identity at x (B, *dims) along directions (P, B, *dims), or all P = prod(dims) unit vectors.

    second: whether second derivatives are wanted.
    """
    if directions is None:
        d = x[0].numel()
        directions = torch.eye(d, dtype=x.dtype, device=x.device).view(d, 1, *x.shape[1:])
    return Jet(x, directions, torch.zeros_like(x) if second else None)
