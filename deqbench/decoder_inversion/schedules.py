"""Learning rates by iteration: fixed, or warmed up, lowered along a cosine and then held."""

import math
from typing import Literal

Schedule = Literal["fixed", "warmup-cosine"]
WARMUP, HELD = 0.1, 0.8  # shares of the iterations. Source: sections 4 and A.2.1


def rates(lr: float, schedule: str, iterations: int, hold_after: int | None = None) -> list[float]:
    """The rate of each of `iterations` steps; the largest is lr.

    warmup-cosine, with n iterations and w = floor(n / 10): lr (i + 1) / w at step i < w, then half of
    lr (1 + cos(pi (i - w) / (n - w))), and from step 8 n / 10 on the rate of the step before it. hold_after: the rates
    are laid out for at most so many iterations, and held beyond, as the released code does with 100.
    ValueError: an unknown schedule, a rate or a number out of range.
    """
    if schedule not in ("fixed", "warmup-cosine"):
        raise ValueError(f"schedule: expected one of fixed, warmup-cosine; found '{schedule}'")
    if not lr > 0:
        raise ValueError(f"lr: expected a positive number; found {lr}")
    if hold_after is not None and hold_after < 1:
        raise ValueError(f"hold_after: expected at least 1; found {hold_after}")
    if schedule == "fixed":
        return [lr] * iterations
    n = min(iterations, hold_after or iterations)
    warm, held = int(WARMUP * n), max(math.ceil(HELD * n) - 1, 0)
    return [lr * _factor(min(i, held), n, warm) for i in range(iterations)]


def _factor(i: int, n: int, warm: int) -> float:
    if i < warm:
        return (i + 1) / warm
    return (1 + math.cos(math.pi * (i - warm) / (n - warm))) / 2
