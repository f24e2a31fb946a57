"""Starting points and noises, one generator a seed, stream and image: image k is the same in any batch or shard."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

STREAMS = {"x_T": 0, "noise": 1, "control": 2}


def generator(seed: int, stream: str, image: int) -> torch.Generator:
    """The generator of one stream of one image."""
    state = np.random.SeedSequence([seed, STREAMS[stream], image]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def x_T(seed: int, images: Sequence[int], shape: Sequence[int]) -> Tensor:
    """(B, *shape) float32 standard normal, for the images named."""
    return torch.stack([torch.randn(*shape, generator=generator(seed, "x_T", image)) for image in images])


def step_noise(seed: int, images: Sequence[int], steps: int, shape: Sequence[int]) -> Tensor:
    """(B, N, *shape) float32 standard normal: the noises that a stochastic chain adds, drawn before it is solved."""
    return torch.stack([torch.randn(steps, *shape, generator=generator(seed, "noise", image)) for image in images])
