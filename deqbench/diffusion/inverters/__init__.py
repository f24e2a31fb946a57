"""Inverters, one file a method: a module named after it with `invert(chain, target, *, on_step, ...) -> Inverted`.

chain.x_T is where the inversion starts, target (B, *dims) the images; noises of a stochastic chain are known. After
each update an inverter calls on_step(Step(...)) if it is given one, first with its start as number 0, so that loss
against epochs and seconds needs no code of its own: the losses reported are taken afterwards, by the sequential chain.
A new file here is a new method: name it under `papers.deq-ddim.inverters` in a config, and it gets its rows.
"""

from typing import Any

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import Inverted, OnStep
from deqbench.registry import Family

HANDS = {"gradient": "diffusion/gradients", "solver": "solvers"}
FAMILY = Family("inverter", "invert", "diffusion/inverters", given=("on_step",), hands=HANDS)

inverters = FAMILY.names


@torch.no_grad()
def invert(
    name: str, chain: DDIMChain, target: Tensor, options: dict[str, Any], on_step: OnStep | None = None
) -> Inverted:
    """What the named inverter finds for target (B, *dims) from the start chain.x_T.

    UserError: unknown inverter, or an option it does not know or take.
    """
    return FAMILY.call(name, options, chain, target, on_step=on_step)
