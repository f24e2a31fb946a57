"""Inverters, one file a method: a module named after it with a generator `invert(chain, target, *, ...)` of updates.

chain.x_T is where the inversion starts, target (B, *dims) the images; noises of a stochastic chain are known. It yields
an Update(...) first for its start and then after each update: counts, limits and callbacks are the driver's
(deqbench.solvers.rounds), and the losses reported are taken afterwards, by the sequential chain. A new file here is a
new method: name it under `papers.deq-ddim.inverters` in a config, and it gets its rows.
"""

from typing import Any

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import Inversion, OnUpdate, inverted
from deqbench.registry import Family

HANDS = {"gradient": "diffusion/gradients", "solver": "solvers"}
FAMILY = Family("inverter", "invert", "diffusion/inverters", hands=HANDS)

inverters = FAMILY.names


@torch.no_grad()
def invert(
    name: str,
    chain: DDIMChain,
    target: Tensor,
    options: dict[str, Any],
    on_update: OnUpdate | None = None,
    max_seconds: float | None = None,
) -> Inversion:
    """The latents that the named inverter reaches for target (B, *dims) from the start chain.x_T.

    on_update is called with the start and after each update; True from it ends the run, and so does max_seconds.
    UserError: unknown inverter, or an option it does not know or take.
    """
    return inverted(chain, target, FAMILY.call(name, options, chain, target), on_update, max_seconds)
