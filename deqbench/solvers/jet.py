"""A value with derivatives that travel along, and what rules for functions of it are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from deqbench.solvers.tensor_like import TensorLike

functions: Any = torch  # whose signatures do not know of jets
RULES: dict[Any, Callable[..., Any]] = {}  # by function; filled by jet_rules


@dataclass(frozen=True, eq=False)
class Basis:
    """Directions in which tangents are given, other than those that the jet was started with."""

    back: Tensor  # (*groups, P, Q): derivatives along the P first directions = back @ those along the Q of now
    metric: Tensor  # (*groups, Q, Q), back' back

    @property
    def groups(self) -> int:
        """How many leading axes of a value have a basis of their own each: 0 or 1."""
        return self.back.ndim - 2


@dataclass(frozen=True, eq=False)
class Jet(TensorLike):
    """A value and its derivatives; a constant has no tangents."""

    value: Tensor  # (*shape)
    tangents: Tensor | None = None  # (P, *shape) or of a shape that broadcasts to it
    laplacian: Tensor | None = None  # (*shape), the second derivatives along all directions, summed; None: not wanted
    basis: Basis | None = None

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function of jets. TypeError: there is no rule for it."""
        rule = RULES.get(func)
        if rule is None:
            known = ", ".join(sorted({one.__name__.strip("_") for one in RULES}))
            raise TypeError(f"jets: expected a function among {known}; found {getattr(func, '__name__', func)}")
        return rule(*args, **(kwargs or {}))

    def view(self, *shape: Any) -> Jet:
        """As reshape."""
        return functions.reshape(self, *shape)  # type: ignore[no-any-return]

    def whole(self) -> Tensor | None:
        """The tangents, expanded to (P, *shape)."""
        return None if self.tangents is None else self.tangents.expand(len(self.tangents), *self.shape)

    def started(self) -> Jet:
        """The same with tangents along the directions that it was started with."""
        tangents = self.whole()
        if self.basis is None or tangents is None:
            return replace(self, basis=None)
        return replace(self, tangents=combined(self.basis.back, tangents), basis=None)

    def gradient(self) -> Tensor:
        """The gradient (B, d) of values (B,) whose jet was started in all d unit directions."""
        tangents = self.started().whole()
        return torch.zeros_like(self.value)[:, None] if tangents is None else tangents.transpose(0, 1)

    def weighed(self) -> Tensor:
        """The tangents times the metric of their directions, (P, *shape): what a sum over first directions is of."""
        tangents = self.whole()
        assert tangents is not None
        if self.basis is None:
            return tangents
        return combined(self.basis.metric, tangents)

    def inner(self, other: Jet | None = None) -> Tensor:
        """The products of two jets' tangents, those of itself unless given, summed over the first directions."""
        mine, theirs = self.tangents, (other or self).tangents
        assert mine is not None and theirs is not None
        if other is None and self.basis is None:
            return mine.square().sum(0)
        return ((mine if self.basis is None else self.weighed()) * theirs).sum(0)


def combined(matrix: Tensor, tangents: Tensor) -> Tensor:
    """The product of a matrix (*groups, P, Q) with tangents (Q, *groups, ...), (P, *groups, ...)."""
    return torch.einsum("pq,q...->p..." if matrix.ndim == 2 else "gpq,qg...->pg...", matrix, tangents)


def mapped(jet: Jet, function: Callable[[Tensor, bool], Tensor]) -> Jet:
    """The jet of a linear function of (tensor, is it tangents with one more axis in front)."""
    whole = jet.whole()
    tangents = None if whole is None else function(whole, True)
    laplacian = None if jet.laplacian is None else function(jet.laplacian, False)
    return replace(jet, value=function(jet.value, False), tangents=tangents, laplacian=laplacian)


def elementwise(jet: Jet, value: Tensor, first: Tensor, second: Callable[[], Tensor]) -> Jet:
    """The jet of an elementwise function with that value and those derivatives, all (*shape)."""
    if jet.tangents is None:
        return Jet(value)
    laplacian = None if jet.laplacian is None else first * jet.laplacian + second() * jet.inner()
    return Jet(value, first * jet.tangents, laplacian, jet.basis)


def product(weights: Tensor, jet: Jet, bias: Tensor | None = None) -> Jet:
    """The jet of x @ weights + bias, for weights (*groups, n, m); see the module for how directions are replaced."""
    value = jet.value @ weights if bias is None else jet.value @ weights + bias
    if jet.tangents is None:
        return Jet(value)
    tangents = _of_constants(jet, weights) if jet.tangents[0].numel() == jet.shape[-1] else _of_all(jet, weights)
    laplacian, basis = None if jet.laplacian is None else jet.laplacian @ weights, jet.basis
    constant = tangents.shape[-2] == 1 and tangents.ndim - 1 <= 3 and jet.basis is None
    if constant and len(tangents) > weights.shape[-1] and tangents.ndim - 3 == weights.ndim - 2:
        back = tangents.squeeze(-2).movedim(0, -2)  # (*groups, P, m)
        basis = Basis(back, back.mT @ back)
        m = weights.shape[-1]
        tangents = torch.eye(m, dtype=value.dtype, device=value.device).view(m, *[1] * (value.ndim - 1), m)
    return Jet(value, tangents, laplacian, basis)


def _of_all(jet: Jet, weights: Tensor) -> Tensor:
    """Tangents of x @ weights."""
    assert jet.tangents is not None
    missing = max(0, weights.ndim - jet.ndim)
    return jet.tangents.reshape(len(jet.tangents), *[1] * missing, *jet.tangents.shape[1:]) @ weights


def _of_constants(jet: Jet, weights: Tensor) -> Tensor:
    """The same of tangents that all samples share, as rows of one product."""
    assert jet.tangents is not None
    flat = jet.tangents.reshape(len(jet.tangents), jet.shape[-1])
    unit = len(flat) == flat.shape[1] and torch.equal(flat, torch.eye(len(flat), dtype=flat.dtype, device=flat.device))
    rows = weights if unit else flat @ weights  # (*groups, P, m)
    ones = max(jet.ndim, weights.ndim) - weights.ndim + 1
    return rows.movedim(-2, 0).unflatten(-1, (*[1] * ones, rows.shape[-1]))


def aligned(left: Any, right: Any) -> tuple[Any, Any]:
    """Both with tangents along the same directions."""
    both = isinstance(left, Jet) and isinstance(right, Jet) and left.tangents is not None and right.tangents is not None
    return (left.started(), right.started()) if both and left.basis is not right.basis else (left, right)
