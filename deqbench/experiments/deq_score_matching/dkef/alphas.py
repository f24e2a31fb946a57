"""The weights of the inducing points solved for: given all else, a score-matching loss is quadratic in them."""

from typing import Any

import torch
from torch import Tensor

from deqbench.score_matching.dkef import DKEF
from deqbench.solvers.deq import differentiated
from deqbench.solvers.jets import start

RIDGES = tuple(10.0**power for power in range(-6, 3))  # over the mean of G's diagonal


def terms(net: DKEF, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """G (M, M), b (M,) and c with mean loss = a' G a / 2 + a' b + c over rows x (B, d), float64, at alpha = a."""
    with torch.no_grad():
        kernels, base = net.by_point(start(x)), net.log_base(start(x))
        slopes = kernels.started().whole().double()  # (d, B, M)
        of_base = base.started().whole().double()  # (d, B)
        g = torch.einsum("dbm,dbn->mn", slopes, slopes) / len(x)
        b = (torch.einsum("dbm,db->m", slopes, of_base) + kernels.laplacian.double().sum(0)) / len(x)
        c = (of_base.square().sum(0) / 2 + base.laplacian.double()).mean()
    return g, b, c


def resolved(net: DKEF, train: Tensor, tuning: Tensor, *, phantom: int | None = None, batch: int = 256) -> Tensor:
    """alpha (M,) at which the loss on train is lowest, with the ridge whose alpha has the lowest loss on tuning.

    phantom: by the derivatives of so many further steps; None: by exact ones. Source: Wenliang et al., "Learning deep
    kernels for exponential family densities" (2019).
    """
    derivative: Any = {"derivative": "phantom", "steps": phantom} if phantom else {"derivative": "exact"}
    with differentiated(net, order=1, **(derivative if net.block is not None else {})):
        g, b, _ = _mean(net, train, batch)
        at_g, at_b, _ = _mean(net, tuning, batch)
    eye = torch.eye(len(b), dtype=b.dtype)
    scale = g.diagonal().mean()
    found = [-torch.linalg.solve(g + ridge * scale * eye, b) for ridge in RIDGES]
    return min(found, key=lambda a: float(a @ at_g @ a / 2 + a @ at_b))


def _mean(net: DKEF, rows: Tensor, batch: int) -> tuple[Tensor, ...]:
    parts = [(len(x), terms(net, x)) for x in rows.split(batch)]
    return tuple(sum(n * part[k] for n, part in parts) / len(rows) for k in range(3))  # type: ignore[misc]
