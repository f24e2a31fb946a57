"""The forward pass of a log density as a list of operations, for estimators that need to see a network's layers.

Torch functions are divided into linear ones, elementwise ones, and the product of two tensors that depend on x; all
other shapes of curvature (a norm, a softmax, attention) are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from deqbench.solvers.tensor_like import TensorLike

Function = Callable[..., Any]

ELEMENTWISE = frozenset(
    "softplus tanh sigmoid logsigmoid exp log log1p expm1 square sqrt rsqrt reciprocal pow sin cos relu leaky_relu elu "
    "selu silu gelu erf atan".split()
)
# Their coefficients are 0 and 1, so they are their own squares.
SELECTING = frozenset(
    "add sum reshape view flatten unflatten unsqueeze squeeze transpose swapaxes permute movedim moveaxis t cat concat "
    "stack chunk split tensor_split unbind narrow select index_select getitem expand expand_as broadcast_to flip roll "
    "pad contiguous clone".split()
)
WEIGHTED = frozenset("linear matmul mm conv1d conv2d conv_transpose2d einsum mul div".split())
SIGNED: dict[str, Function] = {"sub": torch.add, "rsub": lambda a, b: b + a, "neg": torch.clone}
ALIASES = {
    "radd": "add", "rmul": "mul", "multiply": "mul", "truediv": "div", "true_divide": "div", "divide": "div",
    "subtract": "sub", "negative": "neg", "concatenate": "cat", "log_sigmoid": "logsigmoid",
}  # fmt: skip
KNOWN = sorted(ELEMENTWISE | SELECTING | WEIGHTED | set(SIGNED) | {"mean", "rdiv"})


@dataclass(frozen=True)
class Op:
    """One operation. The tensors are those of the forward pass, with their graph."""

    name: str
    form: Literal["linear", "elementwise", "product"]
    inputs: tuple[Tensor, ...]  # those that depend on x, each once; of a product the two factors
    outputs: tuple[Tensor, ...]
    squared: Function = torch.clone  # of a linear one: inputs -> outputs with all coefficients squared
    plain: bool = False  # an elementwise one with no other arguments


@dataclass
class Tape:
    """The operations between x and its log density, in order."""

    x: Tensor
    ops: list[Op] = field(default_factory=list)
    log_density: Tensor = field(init=False)  # (B,)

    def record(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The value of a torch function of traced arguments, traced. TypeError: a function that is not known."""
        if name in ELEMENTWISE:
            return self._elementwise(name, function, args, kwargs)
        if name == "mul" and all(isinstance(arg, Traced) for arg in args):
            return self._product(*args)
        if name == "div" and isinstance(args[1], Traced):
            return args[0] * args[1].reciprocal()
        if name == "rdiv":
            return args[1] * args[0].reciprocal()
        if name == "mean":
            total = torch.sum(*args, **kwargs)
            return total * (total.numel() / args[0].numel())
        if name in SELECTING or name in WEIGHTED or name in SIGNED:
            return self._linear(name, function, args, kwargs)
        raise unknown(name)

    def _elementwise(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
        if not isinstance(args[0], Traced) or len(_found((args[1:], kwargs))) > 0:
            raise unknown(f"{name} of several tensors that depend on x")
        kwargs.pop("inplace", None)  # the input is needed as it was
        a = args[0].value
        y = function(a, *args[1:], **kwargs)
        plain = not kwargs and (len(args) == 1 or (name, *args[1:]) == ("softplus", 1.0, 20.0))
        self.ops.append(Op(name, "elementwise", (a,), (y,), plain=plain))
        return Traced(y, self)

    def _product(self, first: Traced, second: Traced) -> Any:
        if first is second:
            return first**2
        shape = torch.broadcast_shapes(first.shape, second.shape)
        a, b = (factor if factor.shape == shape else factor.expand(shape) for factor in (first, second))
        y = a.value * b.value
        self.ops.append(Op("mul", "product", (a.value, b.value), (y,)))
        return Traced(y, self)

    def _linear(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = _found((args, kwargs))
        if name in WEIGHTED and len(found) > 1:
            raise unknown(f"{name} of several tensors that depend on x")
        if kwargs.get("alpha", 1) != 1:
            raise unknown(f"{name} with alpha")
        inputs = tuple({id(one.value): one.value for one in found}.values())

        def squared(*values: Tensor) -> Any:
            by_id = dict(zip(map(id, inputs), values, strict=True))
            square = _square_of(name)
            return SIGNED.get(name, function)(
                *_replaced(args, lambda one: by_id[id(one.value)], square),
                **_replaced(kwargs, lambda one: by_id[id(one.value)], square),
            )

        y = function(*_replaced(args, lambda one: one.value), **_replaced(kwargs, lambda one: one.value))
        outputs = tuple(y) if isinstance(y, tuple | list) else (y,)
        if outputs[0] is inputs[0]:  # nothing was done: contiguous, a view of the same shape
            return found[0]
        self.ops.append(Op(name, "linear", inputs, outputs, squared))
        traced = tuple(Traced(one, self) for one in outputs)
        return traced if isinstance(y, tuple | list) else traced[0]


class Traced(TensorLike):
    """A tensor that depends on x: torch functions of it are written on its tape, and give such tensors again."""

    def __init__(self, value: Tensor, tape: Tape) -> None:
        self.value, self.tape = value, tape

    @classmethod
    def __torch_function__(
        cls, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found, kwargs = _found((args, kwargs or {})), dict(kwargs or {})
        bare = func.__name__[2:-2] if func.__name__.startswith("__") else func.__name__
        return found[0].tape.record(ALIASES.get(bare, bare), func, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and ALIASES.get(name, name) not in KNOWN:
            raise unknown(name)
        return super().__getattr__(name)

    def __iter__(self) -> Iterator[Traced]:
        return iter(self.unbind(0))


def trace(log_density: Function, x: Tensor) -> Tape:
    """The operations of log_density(x), (B,), of x (B, d...). TypeError: one that is not known, or none of x at all."""
    tape = Tape(x.detach().requires_grad_())
    found = log_density(Traced(tape.x, tape))
    if not isinstance(found, Traced):
        raise TypeError("log_density: expected a value that depends on x; found one that does not")
    tape.log_density = found.value
    return tape


def unknown(name: str) -> TypeError:
    """The error of a function whose curvature is not known here."""
    return TypeError(f"log_density: expected torch functions among {', '.join(KNOWN)}; found {name}")


def _found(value: Any) -> list[Traced]:
    """All traced tensors in nested arguments."""
    if isinstance(value, Traced):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [one for part in value for one in _found(part)] if isinstance(value, tuple | list) else []


def _replaced(value: Any, of_traced: Function, of_constant: Function = lambda one: one) -> Any:
    """The nested arguments with other leaves."""
    if isinstance(value, Traced):
        return of_traced(value)
    if isinstance(value, dict):
        return {key: _replaced(one, of_traced, of_constant) for key, one in value.items()}
    if isinstance(value, tuple | list):
        parts = [_replaced(one, of_traced, of_constant) for one in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return of_constant(value)


def _square_of(name: str) -> Function:
    """What becomes of a constant argument where coefficients are squared: numbers are coefficients of some only."""
    if name not in WEIGHTED:
        return lambda one: one
    kinds: Any = (Tensor, float, int) if name in ("mul", "div") else (Tensor,)

    def square(one: Any) -> Any:
        return one * one if isinstance(one, kinds) and not isinstance(one, bool) else one

    return square
