"""Decoder inverters, one file a method: a module of its name with `invert(codec, x, z, *, iterations, on_step, ...)`.

codec: the autoencoder's halves; x (B, 3, H, W) the images; z (B, c, h, w) where the inversion starts, None for E(x),
which is then encoded once only; frames alike. After each iteration an inverter calls on_step(Step(...)), first with its
start as number 0, and stops where that returns True: early stops, budgets of seconds and traces are the caller's,
written once. It returns the last z. A new file here is a new method: name it under
`papers.decoder-inversion.inverters` in a config.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.registry import Family

FAMILY = Family("inverter", "invert", "decoder_inversion/inverters", given=("iterations", "on_step"))

inverters = FAMILY.names


@dataclass(frozen=True)
class Step:
    """Where an inversion stands, lent to `on_step`: copy what you keep, change nothing."""

    number: int  # iterations so far; 0 is the start
    z: Tensor  # (B, c, h, w)
    residual: Tensor | None = None  # (B,) float32, norm of E(D(z)) - E(x) at this z, where the method has it at no cost
    loss: Tensor | None = None  # (B,) float32, squared pixel error at this z, where the method has it at no cost


OnStep = Callable[[Step], bool | None]


def invert(
    name: str,
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    options: dict[str, Any],
    *,
    iterations: int,
    on_step: OnStep | None = None,
) -> Tensor:
    """The last z of the named inverter after at most `iterations`, from the start z (None: E(x)).

    UserError: unknown inverter, or an option it does not know or take.
    """
    return FAMILY.call(name, options, codec, x, z, iterations=iterations, on_step=on_step)
