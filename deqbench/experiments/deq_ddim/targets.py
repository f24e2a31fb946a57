"""Images to invert, and the chains that shall end in them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import encode
from deqbench.diffusion.network import NoisePredictor
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.chains import CALIBRATION, chain
from deqbench.experiments.deq_ddim.shared import Method


@dataclass(frozen=True)
class Targets:
    """B images, and the chains that shall end in them."""

    eps: NoisePredictor
    chain: DDIMChain  # of B images, from x_T ~ N(0, I)
    images: Tensor  # (B, *dims)

    def select(self, places: range) -> "Targets":
        """The same of the images at some places alone."""
        at = torch.tensor(places)
        return replace(self, chain=self.chain.select(at), images=self.images[at])

    def start(self, kind: str) -> DDIMChain:
        """The chains from x_T ~ N(0, I), or from the DDIM encoding of the images."""
        return replace(self.chain, x_T=encode(self.chain, self.images)) if kind == "encoding" else self.chain


def targets(
    network: Network, eps: NoisePredictor, data: Dataset, grid: str, T: int, eta: float, seed: int, images: list[int]
) -> Targets:
    """The images named: those below CALIBRATION are of the test split, the others, after them, of the tuning split.

    UserError: a split has fewer.
    """
    parts = []
    for split, own in (("test", range(CALIBRATION)), ("tuning", range(CALIBRATION, 2 * CALIBRATION))):
        places = [image - own.start for image in images if image in own]
        if (asked := max(places, default=-1) + 1) > (there := len(getattr(data, split))):
            raise UserError(f"images: expected at most {there} of the {split} split; found {asked}")
        parts.append(getattr(data, split)[places])
    made = chain(network, eps, Method(sampler="sequential", eta=eta), grid, T, seed, images)  # type: ignore[call-arg]
    return Targets(eps, made, torch.cat(parts).to(made.x_T.device))
