"""The functions that combine or bend the values of jets, each with its rule; those that move them: jet_shapes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from deqbench.solvers.jet import RULES, Jet, aligned, elementwise, functions, mapped, product


def _linear(input: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    return product(weight.mT, input, bias)


def _matmul(left: Any, right: Any) -> Jet:
    if isinstance(right, Jet):
        if isinstance(left, Jet):
            raise TypeError("jets: expected a constant factor in a matrix product; found two jets")
        return mapped(right, lambda t, _: left @ t)
    return product(right, left)


def _add(left: Any, right: Any, *, alpha: float = 1) -> Jet:
    right = right if alpha == 1 else torch.mul(right, alpha)
    left, right = aligned(left, right)
    if not isinstance(left, Jet):
        left, right = right, left
    value = left.value + (right.value if isinstance(right, Jet) else right)
    if not isinstance(right, Jet) or right.tangents is None:
        return _broadcast(left, value)
    if left.tangents is None:
        return _broadcast(right, value)
    laplacian = None if left.laplacian is None else left.laplacian + right.laplacian
    return Jet(value, _ranked(left, value) + _ranked(right, value), laplacian, left.basis)


def _ranked(jet: Jet, value: Tensor) -> Tensor:
    """Tangents with so many axes that they broadcast against those of a value of more axes."""
    assert jet.tangents is not None
    return jet.tangents.reshape(len(jet.tangents), *[1] * (value.ndim - jet.ndim), *jet.tangents.shape[1:])


def _broadcast(jet: Jet, value: Tensor) -> Jet:
    if jet.tangents is None:
        return Jet(value)
    laplacian = None if jet.laplacian is None else jet.laplacian.expand(value.shape)
    return Jet(value, _ranked(jet, value), laplacian, jet.basis)


def _mul(left: Any, right: Any) -> Jet:
    left, right = aligned(left, right)
    if not isinstance(left, Jet) or (left.tangents is None and isinstance(right, Jet)):
        left, right = right, left
    if not isinstance(right, Jet) or right.tangents is None:
        factor = right.value if isinstance(right, Jet) else right
        value = left.value * factor
        if left.tangents is None:
            return Jet(value)
        laplacian = None if left.laplacian is None else left.laplacian * factor
        return Jet(value, _ranked(left, value) * factor, laplacian, left.basis)
    a, b = left.value, right.value
    value = a * b
    left, right = _broadcast(left, value), _broadcast(right, value)
    laplacian = None
    if left.laplacian is not None:
        laplacian = a * right.laplacian + b * left.laplacian + 2 * left.inner(right)
    return Jet(value, a * right.tangents + b * left.tangents, laplacian, left.basis)


def _div(left: Any, right: Any) -> Jet:
    return left * (functions.reciprocal(right) if isinstance(right, Jet) else 1 / right)


def _softplus(input: Jet, beta: float = 1, threshold: float = 20) -> Jet:
    s = torch.sigmoid(beta * input.value)
    return elementwise(input, F.softplus(input.value, beta, threshold), s, lambda: beta * s * (1 - s))


def _tanh(input: Jet) -> Jet:
    value = input.value.tanh()
    first = 1 - value.square()
    return elementwise(input, value, first, lambda: -2 * value * first)


def _sigmoid(input: Jet) -> Jet:
    value = input.value.sigmoid()
    first = value * (1 - value)
    return elementwise(input, value, first, lambda: first * (1 - 2 * value))


def _logsigmoid(input: Jet) -> Jet:
    s = torch.sigmoid(-input.value)
    return elementwise(input, F.logsigmoid(input.value), s, lambda: -s * (1 - s))


def _exp(input: Jet) -> Jet:
    value = input.value.exp()
    return elementwise(input, value, value, lambda: value)


def _log(input: Jet) -> Jet:
    first = 1 / input.value
    return elementwise(input, input.value.log(), first, lambda: -first.square())


def _reciprocal(input: Jet) -> Jet:
    value = 1 / input.value
    return elementwise(input, value, -value.square(), lambda: 2 * value.pow(3))


def _square(input: Jet) -> Jet:
    return elementwise(input, input.value.square(), 2 * input.value, lambda: torch.full_like(input.value, 2))


def _pow(input: Jet, exponent: float) -> Jet:
    if isinstance(exponent, Tensor | Jet):
        raise TypeError("jets: expected a number as the exponent; found a tensor")
    x = input.value
    second = (
        (lambda: exponent * (exponent - 1) * x.pow(exponent - 2)) if exponent != 1 else (lambda: torch.zeros_like(x))
    )
    return elementwise(input, x.pow(exponent), exponent * x.pow(exponent - 1), second)


def _silu(input: Jet, inplace: bool = False) -> Jet:
    return functions.mul(input, functions.sigmoid(input))  # type: ignore[no-any-return]


def _elu(input: Jet, alpha: float = 1.0, inplace: bool = False) -> Jet:
    x = input.value
    below = alpha * x.clamp(max=0).exp()
    second = torch.where(x > 0, torch.zeros_like(x), below)
    return elementwise(input, F.elu(x, alpha), torch.where(x > 0, torch.ones_like(x), below), lambda: second)


def _relu(input: Jet, inplace: bool = False) -> Jet:
    return mapped(input, lambda t, _: t * (input.value > 0))


def _swapped(rule: Callable[[Any, Any], Jet]) -> Callable[[Any, Any], Jet]:
    return lambda left, right: rule(right, left)


RULES |= {
    F.linear: _linear,
    torch.matmul: _matmul,
    torch.bmm: _matmul,
    torch.baddbmm: lambda bias, left, right: torch.matmul(left, right) + bias,
    torch.add: _add,
    torch.sub: lambda left, right: _add(left, torch.neg(right) if not isinstance(right, int | float) else -right),
    torch.neg: lambda input: mapped(input, lambda t, _: -t),
    torch.mul: _mul,
    torch.div: _div,
    F.softplus: _softplus,
    torch.tanh: _tanh,
    torch.sigmoid: _sigmoid,
    F.logsigmoid: _logsigmoid,
    torch.exp: _exp,
    torch.log: _log,
    torch.reciprocal: _reciprocal,
    torch.square: _square,
    torch.pow: _pow,
    F.silu: _silu,
    torch.lerp: lambda start, end, weight: end if weight == 1 else start + (end - start) * weight,
    F.elu: _elu,
    F.relu: _relu,
}
for _name in ("add", "sub", "mul", "div", "matmul"):  # of a tensor with a jet on its right
    RULES[getattr(Tensor, _name)] = RULES[getattr(torch, _name)]
    _symbol = "truediv" if _name == "div" else _name
    RULES[getattr(Tensor, f"__{_symbol}__")] = RULES[getattr(torch, _name)]
    RULES[getattr(Tensor, f"__r{_symbol}__")] = _swapped(RULES[getattr(torch, _name)])
