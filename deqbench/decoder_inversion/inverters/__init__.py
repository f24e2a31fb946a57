"""Decoder inverters, one file a method: a module of its name with a generator `invert(codec, x, z, *, ...)`.

codec: the autoencoder's halves; x (B, 3, H, W) the images; z (B, c, h, w) where the inversion starts, None for E(x),
which is then encoded once only; frames alike. It yields an Iterate(...) first for its start and then after each
iteration: early stops, budgets of seconds and traces are the driver's (inverting.py). The last z is the result. A new
file here is a new method: name it under `papers.decoder-inversion.inverters` in a config.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.registry import Family
from deqbench.solvers.rounds import Round, Run

FAMILY = Family("inverter", "invert", "decoder_inversion/inverters", given=("iterations",))

inverters = FAMILY.names


@dataclass(frozen=True, kw_only=True)
class Iterate(Round):
    """The state of an inversion, lent to who looks on: copy what you keep, change nothing."""

    z: Tensor  # (B, c, h, w)
    residual: Tensor | None = None  # (B,) float32, norm of E(D(z)) - E(x) at this z, where the method has it at no cost
    loss: Tensor | None = None  # (B,) float32, squared pixel error at this z, where the method has it at no cost


def invert(
    name: str,
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    options: dict[str, Any],
    *,
    iterations: int,
    on_iterate: Callable[[Iterate], object] | None = None,
) -> Tensor:
    """The last z of the named inverter after at most `iterations`, from the start z (None: E(x)).

    on_iterate is called with the start and after each iteration; True from it ends the run. UserError: unknown
    inverter, or an option it does not know or take.
    """
    made = FAMILY.call(name, options, codec, x, z, iterations=iterations)
    last = Run(made, len(x), on_round=on_iterate, from_start=True).to_end().last
    assert last is not None  # every inverter yields its start
    return last.z
