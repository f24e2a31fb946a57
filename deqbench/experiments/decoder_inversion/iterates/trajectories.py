"""The iterates of an inversion, with E(D(.)) at each of them and wherever the method itself asked for it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate, invert


class Recording(Codec):
    """A codec that keeps the states whose E(D(.)) it was asked for: z^k of a forward step, y^k of inertial KM."""

    seen: list[tuple[Tensor, Tensor]]  # (state, E(D(state))), each (B, c, h, w)

    def encode_decode(self, z: Tensor) -> Tensor:
        """E(D(z)), kept with z."""
        state = super().encode_decode(z)
        if not hasattr(self, "seen"):
            self.seen = []
        self.seen.append((z.detach().clone(), state.detach().clone()))
        return state


@dataclass(frozen=True)
class Trajectory:
    """A run of `limit` iterations on B images, of which the first K + 1 iterates are kept."""

    z: Tensor  # (K + 1, B, c, h, w), iterates 0 to K
    again: Tensor  # (K + 1, B, c, h, w), E(D(z^k))
    limit: Tensor  # (B, c, h, w), the last iterate, which stands for z^inf
    limit_again: Tensor  # (B, c, h, w), E(D(z^inf))
    asked: Tensor  # (M, B, c, h, w), the states at which the method evaluated E(D(.)), of the whole run
    asked_again: Tensor  # (M, B, c, h, w), E(D(.)) there
    encoded: Tensor  # (B, c, h, w), E(x)


@torch.no_grad()
def follow(
    codec: Recording, x: Tensor, inverter: str, options: dict[str, Any], *, iterates: int, limit: int
) -> Trajectory:
    """The trajectory of an inverter from E(x) on images x (B, 3, H, W); K = iterates, at most limit.

    What the method has not evaluated itself, as E(D(z^k)) of inertial KM, is evaluated afterwards.
    """
    codec.seen = []
    start = codec.encode(x)
    kept: list[Tensor] = []

    def keep(step: Iterate) -> None:
        if step.number <= iterates:
            kept.append(step.z.detach().clone())

    last = invert(inverter, codec, x, start, options, iterations=limit, on_iterate=keep).detach()
    asked = [(z, again) for z, again in codec.seen if z.shape == start.shape]
    known = [
        asked[k][1] if k < len(asked) and torch.equal(asked[k][0], z) else codec.encode_decode(z)
        for k, z in enumerate(kept)
    ]
    nothing = start[None][:0]
    return Trajectory(
        torch.stack(kept),
        torch.stack(known),
        last,
        codec.encode_decode(last),
        torch.stack([z for z, _ in asked]) if asked else nothing,
        torch.stack([again for _, again in asked]) if asked else nothing,
        start,
    )
