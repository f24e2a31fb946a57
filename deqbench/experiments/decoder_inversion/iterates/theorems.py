"""The conditions and rates of Theorems 1 and 2 on runs. Source: sections 3.2 and 3.3, appendix A.1."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from deqbench.experiments.decoder_inversion.iterates.cocoercivity import ratios
from deqbench.experiments.decoder_inversion.iterates.trajectories import Trajectory
from deqbench.experiments.rows import Row, of_images

UNKNOWN = -1  # whether the condition holds, where all states are as near to the zero as it is known
TOLD = 10.0  # lengths of T at the zero: nearer states cannot be told from it


def step_and_inertia(inverter: str, options: dict[str, Any]) -> tuple[float, float]:
    """The step, rho or 2 lambda beta, and alpha of a method that the theorems speak of, alpha 0 for Theorem 1.

    KeyError: the options do not say.
    """
    return (float(options["rho"]), 0.0) if inverter == "forward" else (float(options["step"]), float(options["alpha"]))


def largest_step(beta: Tensor, alpha: float) -> Tensor:
    """The bound below which the step must stay: 2 beta, or with inertia 2 beta (1 - alpha)^2 / (1 - alpha + 2 alpha^2).

    At alpha = 0.9 that is 0.0116 beta. Source: Theorem 1; Theorem 2, Eq. 13 with step = 2 lambda beta.
    """
    share = (1 - alpha) ** 2 / (1 - alpha + 2 * alpha**2) if alpha else 1.0
    return 2 * beta * share


def bound(beta: Tensor, step: float, alpha: float, distance: Tensor) -> Tensor:
    """The bound below which sum_k ||T y^k||^2 stays, where the step is allowed; NaN where it is not.

    distance: (B,) squared norm of start minus zero. Source: Eq. S2; Eq. S23 with epsilon of Eq. S15.
    """
    allowed = (step < largest_step(beta, alpha)) & (beta > 0)
    if not alpha:
        value = distance / (step * (2 * beta - step))
    else:
        nu = 2 * beta / step - 1
        epsilon = nu * (1 - alpha) ** 2 - alpha * (1 + alpha)
        value = (1 + alpha) ** 2 / (epsilon * step**2) * distance
    return torch.where(allowed, value, torch.nan)


def measures(
    run: Trajectory, zero: Tensor, step: float, alpha: float, floor: Tensor | float = 0.0
) -> dict[str, Tensor]:
    """The course of a run and its theorem's word on it: (B,) float64 each, by metric.

    zero: (B, c, h, w), a zero of T, or what stands for one. It may not be the run's own last iterate: Eq. 9 would then
    find beta = step at the iterate before, whatever T is. floor: (B,) the length of T below which a state is as near as
    the zero is known. beta: the largest that fits the states above the floor at which T was evaluated (NaN: none is).
    allowed: the largest step over the step taken, 0 where beta is not positive. within: 1 where the condition holds.
    residual_left: ||T|| at the end over that at the start. bound_share: sum_k ||T y^k||^2 over its bound, NaN where
    none is promised. rate_share: the same for n min_k ||T y^k||^2. rate_trend: n min over all n states, over that of
    the first half.
    """
    T = run.asked_again.double() - run.encoded.double()  # (M, B, c, h, w)
    squared = T.flatten(2).square().sum(2)  # (M, B)
    away = run.asked.double() - zero.double()
    known = squared > torch.as_tensor(floor, dtype=torch.float64).square()
    beta = torch.where(known, ratios(T, away), torch.inf).amin(0)
    beta = torch.where(beta.isfinite(), beta, torch.nan)
    largest = largest_step(beta, alpha)
    within = (beta > 0) & (step < largest)
    least = squared.cummin(0).values * torch.arange(1, len(squared) + 1, dtype=torch.float64)[:, None]
    promised = bound(beta, step, alpha, away[0].flatten(1).square().sum(1))
    return {
        "beta": beta,
        "allowed": largest.clamp_min(0) / step,
        "within": within.double(),
        "residual_left": (squared[-1] / squared[0]).sqrt(),
        "bound_share": squared.sum(0) / promised,
        "rate_share": least[-1] / promised,
        "rate_trend": least[-1] / least[len(least) // 2 - 1],
    }


def rows(method: str, run: Trajectory, zero: Trajectory, step: float, alpha: float) -> Iterator[Row]:
    """Rows of one method, an instance and metric each; zero: a run whose last iterate stands for the zero.

    `within` beside each: 1 where the theorem's condition holds, UNKNOWN where that cannot be told.
    """
    left = (zero.limit_again.double() - zero.encoded.double()).flatten(1).norm(dim=1)  # of T at the zero
    by_metric = measures(run, zero.limit, step, alpha, TOLD * left)
    within = torch.where(by_metric["beta"].isnan(), UNKNOWN, by_metric["within"]).tolist()
    by_metric["within"] = torch.where(by_metric["beta"].isnan(), torch.nan, by_metric["within"])
    for row in of_images(by_metric, method=method):
        if row["value"] == row["value"]:  # NaN: nothing is promised without the condition, or beta is not known
            yield row | {"within": int(within[row["image"]])}
