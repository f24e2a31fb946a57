"""The functions that move, sum or convolve the values of jets, all of them linear, each with its rule."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from deqbench.solvers.jet import RULES, Jet, mapped


def _per_sample(function: Any) -> Callable[..., Jet]:
    """The rule of a function linear in a batch (B, ...) of its own, with no bias."""

    def rule(input: Jet, *args: Any, **kwargs: Any) -> Jet:
        def one(t: Tensor, stacked: bool) -> Tensor:
            made = function(t.flatten(0, 1) if stacked else t, *args, **kwargs)
            return made.unflatten(0, t.shape[:2]) if stacked else made

        return mapped(input, one)

    return rule


def _convolution(function: Any) -> Callable[..., Jet]:
    def rule(input: Jet, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Jet:
        made = _per_sample(lambda t: function(t, weight, None, *args, **kwargs))(input)
        return made if bias is None else replace(made, value=made.value + bias.view(-1, 1, 1))

    return rule


def _reshape(input: Jet, *shape: Any) -> Jet:
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    value = input.value.reshape(sizes)
    new, t = value.shape, input.tangents
    if t is not None and t.shape[1] == 1 and new[0] == input.shape[0] and t.numel() == len(t) * new[1:].numel():
        laplacian = None if input.laplacian is None else input.laplacian.reshape(new)
        return Jet(value, t.reshape(len(t), 1, *new[1:]), laplacian, input.basis)  # one for all samples, and still so
    return _unbased(input, lambda t, stacked: t.reshape(len(t), *new) if stacked else t.reshape(new))


def _unbased(input: Jet, function: Callable[[Tensor, bool], Tensor]) -> Jet:
    """A linear function that may take leading axes apart or away, which a basis may belong to."""
    return mapped(input.started() if input.basis and input.basis.groups else input, function)


def _flatten(input: Jet, start_dim: int = 0, end_dim: int = -1) -> Jet:
    return _reshape(input, input.value.flatten(start_dim, end_dim).shape)


def _unflatten(input: Jet, dim: int, sizes: Sequence[int]) -> Jet:
    return _reshape(input, input.value.unflatten(dim, sizes).shape)


def _axis(dim: int, ndim: int, stacked: bool) -> int:
    return dim % ndim + stacked


def _unsqueeze(input: Jet, dim: int) -> Jet:
    value, at = input.value.unsqueeze(dim), dim % (input.ndim + 1) + 1
    if input.tangents is None:
        return Jet(value)
    whole = input.started() if input.basis and input.basis.groups else input
    laplacian = None if input.laplacian is None else input.laplacian.unsqueeze(dim)
    return Jet(value, whole.tangents.unsqueeze(at), laplacian, whole.basis)  # type: ignore[union-attr]


def _along(function: Any) -> Callable[..., Jet]:
    """The rule of a linear function with one `dim`."""

    def rule(input: Jet, dim: int) -> Jet:
        n = input.ndim
        return _unbased(input, lambda t, stacked: function(t, _axis(dim, n, stacked)))

    return rule


def _swap(input: Jet, dim0: int, dim1: int) -> Jet:
    n = input.ndim
    return _unbased(input, lambda t, stacked: t.transpose(_axis(dim0, n, stacked), _axis(dim1, n, stacked)))


def _getitem(input: Jet, index: Any) -> Jet:
    keys = index if isinstance(index, tuple) else (index,)
    return _unbased(input, lambda t, stacked: t[(slice(None), *keys)] if stacked else t[keys])


def _sum(input: Jet, dim: Any = None, keepdim: bool = False) -> Jet:
    dims = range(input.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    reduced = [one % input.ndim for one in dims]
    whole = input.started() if input.basis and input.basis.groups and 0 in reduced else input
    return mapped(whole, lambda t, stacked: t.sum([one + stacked for one in reduced], keepdim=keepdim))


def _mean(input: Jet, dim: Any = None, keepdim: bool = False) -> Jet:
    total = _sum(input, dim, keepdim)
    return total * (max(total.value.numel(), 1) / input.value.numel())  # type: ignore[no-any-return,operator]


def _joined(function: Any) -> Callable[..., Jet]:
    """The rule of cat or stack."""

    def rule(tensors: Sequence[Any], dim: int = 0) -> Jet:
        parts = [part.started() if isinstance(part, Jet) else Jet(part) for part in tensors]
        first = next(part for part in parts if part.tangents is not None)
        n = first.ndim + (function is torch.stack)
        count, second = len(first.tangents), first.laplacian is not None  # type: ignore[arg-type]

        def of(part: Jet) -> Any:
            return part.value.new_zeros(count, *part.shape) if part.tangents is None else part.whole()

        tangents = function([of(part) for part in parts], _axis(dim, n, True))
        seconds = [torch.zeros_like(part.value) if part.laplacian is None else part.laplacian for part in parts]
        value = function([part.value for part in parts], dim)
        return Jet(value, tangents, function(seconds, dim) if second else None)

    return rule


def _chunk(input: Jet, chunks: int, dim: int = 0) -> tuple[Jet, ...]:
    return _split(input, -(-input.shape[dim] // chunks), dim)


def _split(input: Jet, size: Any, dim: int = 0) -> tuple[Jet, ...]:
    total, at = input.shape[dim], dim % input.ndim
    sizes = size if not isinstance(size, int) else [min(size, total - k) for k in range(0, total, size)]
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    pairs = zip(starts, sizes, strict=True)
    return tuple(_unbased(input, lambda t, s, k=k, n=n: t.narrow(at + s, k, n)) for k, n in pairs)  # type: ignore[misc]


RULES |= {
    F.conv2d: _convolution(F.conv2d),
    F.conv_transpose2d: _convolution(F.conv_transpose2d),
    F.avg_pool2d: _per_sample(F.avg_pool2d),
    F.interpolate: _per_sample(F.interpolate),
    torch.reshape: _reshape,
    torch.flatten: _flatten,
    torch.unflatten: _unflatten,
    torch.squeeze: _along(torch.squeeze),
    torch.unsqueeze: _unsqueeze,
    torch.transpose: _swap,
    torch.sum: _sum,
    torch.mean: _mean,
    torch.cat: _joined(torch.cat),
    torch.stack: _joined(torch.stack),
    torch.chunk: _chunk,
    torch.split: _split,
    Tensor.__getitem__: _getitem,
}
