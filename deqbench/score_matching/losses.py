"""Score-matching losses of any log density or score network, each by a choice of engines and of derivatives.

With the score s = grad log p and directions v with E[v v'] = I:

    sm       1/2 |s|^2 + tr(ds/dx)                                                    Hyvarinen 2005; eq. 1
    ssm      1/2 (v's)^2 + v' (ds/dx) v                                               Song et al. 2020; eq. 3
    ssm-vr   1/2 |s|^2 + v' (ds/dx) v                                                 the same; eq. 4
    dsm      1/2 |s(x + sigma n) + n / sigma|^2                                       Vincent 2011; eq. 2
    cp       1/2 |s|^2 + curvature propagation's estimate of the trace                Martens et al. 2012
    approx-bp  the same with the diagonal propagated as if all else vanished; biased  Kingma and LeCun 2010
    fdssm    ssm by central differences of log p along eps v                          Pang et al. 2020
    mle      -log p, of a density that is normalised

Their expectations over the data are those of sm but for a constant (dsm: for data with noise added; approx-bp: none).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deqbench.score_matching import engines
from deqbench.solvers.deq import DEQ, differentiated
from deqbench.solvers.implicit import Derivative
from deqbench.solvers.solve import one_of

Kind = Literal["sm", "ssm", "ssm-vr", "dsm", "cp", "approx-bp", "fdssm", "mle"]
Of = Literal["log-density", "score"]
Engine = Literal["auto", "jets", "loop", "batched", "func"]
Directions = Literal["rademacher", "normal"]
KINDS = ("sm", "ssm", "ssm-vr", "dsm", "cp", "approx-bp", "fdssm", "mle")
NESTED = ("sm", "ssm", "ssm-vr")  # those that an engine is needed for
OF_DENSITIES = ("cp", "approx-bp", "fdssm", "mle")


@dataclass(frozen=True)
class Options:
    """What only some kinds of loss need."""

    sigma: float | None
    slices: int
    directions: Directions
    eps: float
    generator: torch.Generator | None


def score_matching_loss(
    log_density: nn.Module | Callable[[Any], Any],
    x: Tensor,
    *,
    kind: Kind = "sm",
    derivative: Derivative | None = None,
    steps: int = 2,
    of: Of = "log-density",
    engine: Engine = "auto",
    sigma: float | None = None,
    slices: int = 1,
    directions: Directions = "rademacher",
    eps: float = 0.05,
    generator: torch.Generator | None = None,
    reduction: Literal["mean", "none"] = "mean",
) -> Tensor:
    """The loss of a log density at rows x (B, *dims), its mean or (B,), in the model's units of log density.

    log_density: x -> (B,), normalised or not; with of="score" x -> score, of x's shape. The result can be
    differentiated once more, by the parameters.
    derivative, steps: of all DEQ layers inside, for this call (see deqbench.fixed_point); None: as each is set. By
    "phantom" the derivatives are those of `steps` further iterations, and what is computed is not the loss of any
    density: set it beside that by "exact".
    engine: jets, derivatives pushed forward (the cheapest); loop, batched, func: nested autograd a dimension at a time,
    all at once, torch.func (without DEQ layers); auto: jets if the model is made of functions known to them, else loop.
    sigma: of dsm. slices: directions v a row. eps: of fdssm, the step times |v|. generator: of all draws.
    ValueError: a setting out of range or unknown. TypeError: a function that the engine, cp or approx-bp does not know.
    """
    _check(kind, of, engine, sigma, slices, directions, reduction)
    options, x = Options(sigma, slices, directions, eps, generator), x.detach()
    if engine == "auto":
        engine = engines.chosen(log_density, x) if kind in NESTED else "loop"
    with _layers(log_density, derivative, steps, kind, engine):
        losses = _loss(log_density, x, kind, of, engine, options)
    return losses.mean() if reduction == "mean" else losses


def score(log_density: Any, x: Tensor, *, derivative: Derivative | None = None, steps: int = 2) -> Tensor:
    """The gradient of a log density at rows x, of x's shape, with the graph of the parameters."""
    with _layers(log_density, derivative, steps, "dsm", "loop"):
        return engines.score(log_density, x)


def _loss(f: Any, x: Tensor, kind: str, of: str, engine: str, options: Options) -> Tensor:
    if kind == "mle":
        return -f(x)
    if kind == "fdssm":
        return _finite_differences(f, x, options)
    if kind == "dsm":
        noise = torch.randn(x.shape, generator=options.generator, dtype=x.dtype).to(x.device)
        assert options.sigma is not None
        s = engines.score(f, x + options.sigma * noise) if of == "log-density" else f(x + options.sigma * noise)
        return (s + noise / options.sigma).flatten(1).square().sum(1) / 2
    if kind in ("cp", "approx-bp"):
        from deqbench.score_matching.curvature import approximate_trace, curvature_trace

        s, trace = approximate_trace(f, x) if kind == "approx-bp" else curvature_trace(f, x, options.generator)
        return s.square().flatten(1).sum(1) / 2 + trace
    pushed = engines.engine(engine, of)
    if kind == "sm":
        return pushed.score_matching(f, x)
    v = drawn(x, options)
    return pushed.sliced(f, x, v) if kind == "ssm" else pushed.sliced_vr(f, x, v)


def drawn(x: Tensor, options: Options) -> Tensor:
    """Directions (slices, B, *dims) of x (B, *dims), with E[v v'] = I."""
    v = torch.randn(options.slices, *x.shape, generator=options.generator, dtype=x.dtype)
    return (v.sign() if options.directions == "rademacher" else v).to(x.device)


def _finite_differences(f: Any, x: Tensor, options: Options) -> Tensor:
    """ssm with second and first differences over eps v / |v| in place of derivatives, times |v|^2."""
    v = drawn(x, options)
    length = v.flatten(2).norm(dim=2)  # (slices, B)
    h = options.eps / length
    step = v * h.view(*h.shape, *[1] * (x.ndim - 1))
    ahead, here, behind = (f((x + sign * step).flatten(0, 1)).view(h.shape) for sign in (1, 0, -1))
    first, second = (ahead - behind) / (2 * h), (ahead - 2 * here + behind) / h.square()
    return (first.square() / 2 + second).mean(0)


@contextmanager
def _layers(f: Any, derivative: Derivative | None, steps: int, kind: str, engine: str) -> Iterator[None]:
    """The DEQ layers of a model, or of the model that a method belongs to, set for one loss."""
    module = f if isinstance(f, nn.Module) else getattr(f, "__self__", None)
    layers = [] if not isinstance(module, nn.Module) else [m for m in module.modules() if isinstance(m, DEQ)]
    if not layers:
        if derivative is not None:
            raise ValueError(f"derivative: expected a module with DEQ layers; found none in {type(f).__name__}")
        yield
        return
    assert isinstance(module, nn.Module)
    settings: dict[str, Any] = {} if derivative is None else {"derivative": derivative}
    if derivative == "phantom":
        settings["steps"] = steps
    exact = derivative == "exact" or (derivative is None and any(_exact(layer) for layer in layers))
    if engine == "batched" and kind == "sm" and exact:
        raise ValueError(
            "engine: expected jets or loop for exact derivatives, whose solves batched gradients cannot pass"
        )
    order = 1 if engine == "jets" and kind in NESTED else {"fdssm": 1, "mle": 1, "dsm": 2}.get(kind, 3)
    with differentiated(module, order=order, **settings):
        yield


def _exact(layer: DEQ) -> bool:
    return bool(layer.settings.get("derivative", "exact") == "exact")


def _check(kind: str, of: str, engine: str, sigma: float | None, slices: int, directions: str, reduction: str) -> None:
    one_of("kind", kind, KINDS)
    one_of("of", of, ("log-density", "score"))
    one_of("engine", engine, ("auto", "jets", "loop", "batched", "func"))
    one_of("directions", directions, ("rademacher", "normal"))
    one_of("reduction", reduction, ("mean", "none"))
    if of == "score" and kind in OF_DENSITIES:
        raise ValueError(f"kind: expected one that a score will do for with of='score'; found '{kind}'")
    if kind == "dsm" and not (sigma is not None and sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma: expected a positive number for dsm; found {sigma}")
    if slices < 1:
        raise ValueError(f"slices: expected at least 1; found {slices}")
