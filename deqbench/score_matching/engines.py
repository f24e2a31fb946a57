"""Ways to get at the score and its derivatives of a log density f, x (B, *dims) -> (B,), or of a score network.

Each gives losses (B,) with a graph that the parameters' gradient follows from.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from deqbench.solvers.jets import start


class Pushed(Protocol):
    """An engine."""

    def score_matching(self, f: Any, x: Tensor) -> Tensor:
        """1/2 |s|^2 + tr(ds/dx), (B,)."""
        ...

    def sliced(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        """1/2 (v's)^2 + v' (ds/dx) v, the mean over directions v (M, B, *dims)."""
        ...

    def sliced_vr(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        """1/2 |s|^2 + v' (ds/dx) v, the mean over directions."""
        ...


def engine(name: str, of: str) -> Pushed:
    """The engine of that name."""
    if name == "func":
        return FuncEngine(of)
    return JetEngine(of) if name == "jets" else NestedEngine(of, batched=name == "batched")


def chosen(f: Any, x: Tensor) -> Literal["jets", "loop"]:
    """jets where f is made of functions that they know, else loop; looked at with one row, remembered for a module."""
    known = getattr(f, "_takes_jets", None)
    if known is None:
        try:
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                f(start(x[:1], torch.zeros_like(x[None, :1])))
            known = True
        except (TypeError, AttributeError, NotImplementedError):
            known = False
        if isinstance(f, nn.Module):
            object.__setattr__(f, "_takes_jets", known)
    return "jets" if known else "loop"


def score(f: Any, x: Tensor) -> Tensor:
    """The gradient of f at x by autograd, with a graph."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        return torch.autograd.grad(f(at).sum(), at, create_graph=True)[0]


class JetEngine:
    """Derivatives pushed forward with the value; one backward pass for the parameters is all that autograd does."""

    def __init__(self, of: str) -> None:
        self.density = of == "log-density"

    def score_matching(self, f: Any, x: Tensor) -> Tensor:
        if self.density:
            jet = f(start(x))
            return jet.gradient().square().sum(1) / 2 + jet.laplacian
        made = f(start(x, second=False))
        rows = made.started().whole().flatten(2)  # (d, B, d)
        return made.value.flatten(1).square().sum(1) / 2 + torch.einsum("ibi->b", rows)

    def sliced(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        return self._sliced(f, x, v, reduced=False)

    def sliced_vr(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        return self._sliced(f, x, v, reduced=True)

    def _sliced(self, f: Any, x: Tensor, v: Tensor, reduced: bool) -> Tensor:
        if self.density:
            jet = f(start(x, v))
            along, bent = jet.started().whole(), jet.laplacian / len(v)  # (M, B), (B,)
            half = f(start(x, second=False)).gradient().square().sum(1) if reduced else along.square().mean(0)
            return half / 2 + bent
        made = f(start(x, v, second=False))
        value, moved = made.value.flatten(1), made.started().whole().flatten(2)
        flat = v.flatten(2)
        half = value.square().sum(1) if reduced else (flat * value).sum(2).square().mean(0)
        return half / 2 + (flat * moved).sum(2).mean(0)


class NestedEngine:
    """Autograd within autograd: the usual way, a pass a dimension, or all of them in one batched pass."""

    def __init__(self, of: str, *, batched: bool) -> None:
        self.density, self.batched = of == "log-density", batched

    def _score(self, f: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        at = x.detach().requires_grad_()
        if not self.density:
            return at, f(at)
        return at, torch.autograd.grad(f(at).sum(), at, create_graph=True)[0]

    def score_matching(self, f: Any, x: Tensor) -> Tensor:
        with torch.enable_grad():
            at, s = self._score(f, x)
            flat = s.flatten(1)
            d = flat.shape[1]
            unit = torch.eye(d, dtype=x.dtype, device=x.device)
            if self.batched:
                rows = torch.autograd.grad(
                    flat, at, unit[:, None].expand(d, *flat.shape), create_graph=True, is_grads_batched=True
                )[0]
                trace = torch.einsum("ibi->b", rows.flatten(2))
            else:
                total = flat.sum(0)
                parts = (torch.autograd.grad(total[i], at, create_graph=True)[0].flatten(1)[:, i] for i in range(d))
                trace = sum(parts, torch.zeros_like(flat[:, 0]))
            return flat.square().sum(1) / 2 + trace

    def sliced(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        return self._sliced(f, x, v, reduced=False)

    def sliced_vr(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        return self._sliced(f, x, v, reduced=True)

    def _sliced(self, f: Any, x: Tensor, v: Tensor, reduced: bool) -> Tensor:
        with torch.enable_grad():
            at, s = self._score(f, x)
            total = torch.zeros_like(s.flatten(1)[:, 0])
            for one in v:
                along = (s * one).flatten(1).sum(1)
                bent = (torch.autograd.grad(along.sum(), at, create_graph=True)[0] * one).flatten(1).sum(1)
                total = total + bent + (0 if reduced else along.square() / 2)
            total = total / len(v)
            return total + s.flatten(1).square().sum(1) / 2 if reduced else total


class FuncEngine:
    """torch.func: jacrev over grad, vectorised over rows. DEQ layers cannot be passed by it."""

    def __init__(self, of: str) -> None:
        self.density = of == "log-density"

    def _score(self, f: Any) -> Callable[[Tensor], Tensor]:
        if self.density:
            return torch.func.grad(lambda row: f(row[None])[0])
        return lambda row: f(row[None])[0]

    def score_matching(self, f: Any, x: Tensor) -> Tensor:
        s = self._score(f)

        def one(row: Tensor) -> tuple[Tensor, Tensor]:
            d = row.numel()
            return s(row).flatten(), torch.func.jacrev(s)(row).reshape(d, d).diagonal().sum()

        value, trace = torch.func.vmap(one)(x)
        return value.square().sum(1) / 2 + trace  # type: ignore[no-any-return]

    def sliced(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        return self._sliced(f, x, v, reduced=False)

    def sliced_vr(self, f: Any, x: Tensor, v: Tensor) -> Tensor:
        return self._sliced(f, x, v, reduced=True)

    def _sliced(self, f: Any, x: Tensor, v: Tensor, reduced: bool) -> Tensor:
        s = self._score(f)

        def one(row: Tensor, direction: Tensor) -> Tensor:
            value, moved = torch.func.jvp(s, (row,), (direction,))  # type: ignore[misc]
            half = value.square().sum() if reduced else (direction * value).sum().square()
            return half / 2 + (direction * moved).sum()  # type: ignore[no-any-return]

        return torch.stack([torch.func.vmap(one)(x, directions) for directions in v]).mean(0)
