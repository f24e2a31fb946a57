"""Adam fed with the residual E(D(z)) - E(x) as if it were a gradient. Source: section 4 and appendix A.2."""

from collections.abc import Iterator

import torch
from torch import Tensor

from deqbench.bounds import Count, Decay, Positive
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate
from deqbench.decoder_inversion.residual import descend
from deqbench.decoder_inversion.schedules import Schedule, rates

HALF_EPS = 1e-4  # of the released code, where the state is float16: 1e-8 would round to 0


def invert(
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    *,
    iterations: int,
    lr: Positive = 0.01,
    schedule: Schedule = "fixed",
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive | None = None,
    hold_after: Count | None = None,
) -> Iterator[Iterate]:
    """The iterates of `iterations` steps.

    schedule: fixed, or warmup-cosine, whose rates depend on `iterations` (deqbench.decoder_inversion.schedules).
    eps None: 1e-8, or 1e-4 for a float16 state. Adam is elementwise: images of a batch do not touch each other.
    """
    planned = rates(lr, schedule, iterations, hold_after)
    moved = torch.zeros(0)
    small = eps if eps is not None else HALF_EPS if codec.state == torch.float16 else 1e-8
    adam: torch.optim.Adam | None = None

    def update(k: int, z: Tensor, residual: Tensor) -> Tensor:
        nonlocal adam, moved
        if adam is None:
            moved = z
            adam = torch.optim.Adam([moved], lr=lr, betas=(beta1, beta2), eps=small)
        moved.grad = residual
        adam.param_groups[0]["lr"] = planned[k]
        adam.step()
        return moved

    return descend(codec, x, z, update, iterations=iterations)
