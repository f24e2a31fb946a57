"""A linear encoder and decoder in float64, whose iterations have closed forms."""

import torch
from torch import Tensor

SHAPE = (1, 2, 3)  # of a latent


class LinearCodec:
    """D(z) = D z and E(x) = E x with E D = `middle`, (d, d); images are (B, 1, 1, P)."""

    state = torch.float64
    posterior = None
    exact = True
    max_batch = 64

    def __init__(self, middle: Tensor, pixels: int = 12) -> None:
        generator = torch.Generator().manual_seed(7)
        basis, _ = torch.linalg.qr(torch.randn(pixels, len(middle), generator=generator, dtype=torch.float64))
        self.D, self.E, self.passes = basis, middle @ basis.T, 0  # (P, d), (d, P)

    def encode(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.E.T).view(-1, *SHAPE)

    def decode(self, z: Tensor) -> Tensor:
        return (z.flatten(1) @ self.D.T).view(len(z), 1, 1, -1)

    def encode_decode(self, z: Tensor) -> Tensor:
        self.passes += 1
        return self.encode(self.decode(z))


def diagonal(*values: float) -> LinearCodec:
    """A codec whose E D has these eigenvalues, six of them."""
    return LinearCodec(torch.diag(torch.tensor(values, dtype=torch.float64)))


def latents(count: int, seed: int = 0) -> Tensor:
    """(count, *SHAPE) float64."""
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
