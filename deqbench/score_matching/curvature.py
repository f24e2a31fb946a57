"""Estimates of the trace of a log density's Hessian that see the network's layers.

Only nonlinear operations bend. With a_k the inputs of all elementwise ones, s_k their functions, g_k the derivative of
the log density by their outputs and J_k = da_k/dx,

    H = sum_k J_k' diag(g_k s_k''(a_k)) J_k,                                                                     (1)

and each product of two tensors that depend on x adds a block of the same kind, with g off the diagonal.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deqbench.score_matching.tracing import Op, Tape, trace


def _softplus(a: Tensor) -> tuple[Tensor, Tensor]:
    slope = a.sigmoid()
    return slope, slope * (1 - slope)


CLOSED = {"softplus": _softplus, "square": lambda a: (2 * a, torch.full_like(a, 2))}  # others by differentiation
LogDensity = Callable[[Any], Any]  # (B, d...) -> (B,); samples by themselves


def curvature_trace(
    log_density: LogDensity, x: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Score, like x (B, d...), and an unbiased estimate of the Hessian's trace, (B,): curvature propagation.

    With random signs w_k of every unit, T = sum_k J_k' r_k w_k and U = sum_k J_k' (g_k s_k'' / r_k) w_k have, by (1),
    E[T U'] = H, and the estimate is T . U: two more backward passes. r_k is the root of the mean |g_k s_k''| of a row's
    units, which balances T and U; the roots of the units themselves, the complex vector S = sqrt(g_k s_k'') w of the
    source, vary less, but their derivative has no bound, which a training cannot use. Exact where no two units of all
    nonlinear operations depend on the same entry of x.

    Both values carry gradients to the parameters. generator: of the signs, on its device; None: torch's own.
    TypeError: a torch function that is not known (see tracing).
    Source: Martens, Sutskever, Swersky: "Estimating the Hessian by back-propagating curvature" (2012).
    """
    with torch.enable_grad():
        tape = trace(log_density, x)
        score, upstream = _gradients(tape)
        points: list[Tensor] = []
        of_t: list[Tensor] = []
        of_u: list[Tensor] = []
        for op in tape.ops:
            if (g := upstream.get(id(op.outputs[0]))) is None:
                continue
            for a, t, u in _factors(op, g, generator):
                points.append(a)
                of_t.append(t)
                of_u.append(u)
        if not points:
            return score, torch.zeros_like(tape.log_density)
        t, u = (torch.autograd.grad(points, tape.x, weights, create_graph=True)[0] for weights in (of_t, of_u))
        return score, (t * u).flatten(1).sum(1)


def approximate_trace(log_density: LogDensity, x: Tensor) -> tuple[Tensor, Tensor]:
    """Score, like x (B, d...), and the trace, (B,), of a diagonal propagated backwards: approximate backpropagation.

    From the output to x, the diagonal h passes a linear operation by the transpose with squared coefficients, and
    y = s(a) as h_a = s'(a)^2 h_y + s''(a) g: as if the Hessian by every layer's output were diagonal, which it is not
    where a unit is connected to several. Deterministic and biased. Both values carry gradients to the parameters.
    TypeError: a torch function that is not known (see tracing).
    Source: Kingma, LeCun: "Regularized estimation of image statistics by score matching" (2010).
    """
    with torch.enable_grad():
        tape = trace(log_density, x)
        score, upstream = _gradients(tape)
        diagonal: dict[int, Tensor] = {}

        def add(a: Tensor, h: Tensor | None) -> None:
            if h is not None:
                diagonal[id(a)] = diagonal[id(a)] + h if id(a) in diagonal else h

        for op in reversed(tape.ops):
            above = [diagonal.get(id(y)) for y in op.outputs]
            if op.form == "linear":
                for a, h in zip(op.inputs, _through(op, above), strict=True):
                    add(a, h)
            elif op.form == "product":
                for a, b in (op.inputs, op.inputs[::-1]):
                    add(a, None if above[0] is None else above[0] * b.square())
            else:
                add(op.inputs[0], _past(op, above[0], upstream.get(id(op.outputs[0]))))
        h = diagonal.get(id(tape.x))
        return score, torch.zeros_like(tape.log_density) if h is None else h.flatten(1).sum(1)


def _gradients(tape: Tape) -> tuple[Tensor, dict[int, Tensor]]:
    """The score, and the log density's derivatives by the outputs of nonlinear operations that it depends on."""
    outputs = [op.outputs[0] for op in tape.ops if op.form != "linear"]
    score, *found = torch.autograd.grad(
        tape.log_density.sum(), [tape.x, *outputs], create_graph=True, allow_unused=True
    )
    return score, {id(y): g for y, g in zip(outputs, found, strict=True) if g is not None}


def _factors(op: Op, g: Tensor, generator: torch.Generator | None) -> list[tuple[Tensor, Tensor, Tensor]]:
    """An operation's inputs, each with its parts of T and U."""
    if op.form == "elementwise":
        bend = _derivatives(op)[1]
        return [] if bend is None else [(op.inputs[0], *_balanced(g * bend, *2 * [_signs(g, generator)]))]
    first, second = _signs(g, generator), _signs(g, generator)
    return [(a, *_balanced(g, *w)) for a, w in zip(op.inputs, ((first, second), (second, first)), strict=True)]


def _balanced(c: Tensor, of_t: Tensor, of_u: Tensor) -> tuple[Tensor, Tensor]:
    """r w and c w / r with r^2 the mean of |c| in each row; r = 1 where c is 0."""
    mean = c.abs().reshape(len(c), -1).mean(1)
    r = torch.where(mean > 0, mean, 1.0).sqrt().view(-1, *[1] * (c.ndim - 1))
    return r * of_t, c / r * of_u


def _signs(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return (2 * torch.randint(2, like.shape, generator=generator, device=device) - 1).to(like)


def _derivatives(op: Op) -> tuple[Tensor, Tensor | None]:
    """s'(a) and s''(a) of an elementwise operation; None: 0 everywhere."""
    a, y = op.inputs[0], op.outputs[0]
    if op.plain and op.name in CLOSED:
        return CLOSED[op.name](a)
    slope = torch.autograd.grad(y.sum(), a, create_graph=True)[0]
    if not slope.requires_grad:
        return slope, None
    return slope, torch.autograd.grad(slope.sum(), a, create_graph=True, allow_unused=True)[0]


def _past(op: Op, h: Tensor | None, g: Tensor | None) -> Tensor | None:
    """The diagonal at the input of an elementwise operation, from that at its output."""
    slope, bend = _derivatives(op)
    parts = [h * slope.square()] if h is not None else []
    if bend is not None and g is not None:
        parts.append(bend * g)
    return sum(parts[1:], parts[0]) if parts else None


def _through(op: Op, above: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    """The diagonal at the inputs of a linear operation, from those at its outputs."""
    present = [(k, h) for k, h in enumerate(above) if h is not None]
    if not present:
        return (None,) * len(op.inputs)
    leaves = [torch.zeros_like(a).requires_grad_() for a in op.inputs]
    made = op.squared(*leaves)
    outputs = made if isinstance(made, tuple | list) else (made,)
    found = torch.autograd.grad(
        [outputs[k] for k, _ in present], leaves, [h for _, h in present], create_graph=True, allow_unused=True
    )
    return tuple(found)
