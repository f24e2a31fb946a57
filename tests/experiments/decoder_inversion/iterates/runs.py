"""Runs on linear pairs, followed."""

import torch

from deqbench.experiments.decoder_inversion.iterates.trajectories import follow
from tests.decoder_inversion.linear import LinearCodec, latents

VALUES = (0.4, 0.6, 0.8, 1.0, 1.2, 1.6)


class Kept(LinearCodec):
    """Keeps what it is asked for, as a recording codec does."""

    def encode_decode(self, z):
        found = super().encode_decode(z)
        self.seen.append((z.clone(), found.clone()))
        return found


def kept(*values: float) -> Kept:
    """A pair whose E D has these eigenvalues."""
    return Kept(torch.diag(torch.tensor(values, dtype=torch.float64)))


def followed(inverter, options, iterates=6, limit=20, values=VALUES, count=3):
    """The pair, the true latents of `count` images and their trajectory."""
    codec, z = kept(*values), latents(count)
    return codec, z, follow(codec, codec.decode(z), inverter, options, iterates=iterates, limit=limit)
