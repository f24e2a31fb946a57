"""A VAE whose encoder is an implicit distribution q(z | x), and networks for the score grad_z log q(z | x).

Source: tables 6 and 7; Song et al., "Sliced score matching" (2019), section 6.2.1.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deqbench.score_matching.layers import ConvCell
from deqbench.solvers.deq import DEQ

Shape = tuple[int, int, int]  # (C, H, W) of an image
Preprocessing = Literal["none", "augmented", "deq"]
KERNEL, HALVINGS, HIDDEN = 5, 4, 512


def sides(side: int) -> list[int]:
    """The side of an image, and those after each convolution of stride 2 and padding 2: 32, 16, 8, 4, 2."""
    found = [side]
    for _ in range(HALVINGS):
        found.append((found[-1] + 1) // 2)
    return found


class ImplicitEncoder(nn.Module):
    """x (B, C, H, W), noise (B, 1, H, W) -> z (B, latent): a draw of q(z | x).

    Where the noise enters is not printed: here it is one more channel of the image.
    """

    def __init__(self, shape: Shape, latent: int, width: int) -> None:
        super().__init__()
        self.body = _strided(shape, shape[0] + 1, width, nn.ReLU)
        self.head = _head(shape, width, latent, nn.ReLU)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        z: Tensor = self.head(self.body(torch.cat([x, noise], dim=1)).flatten(1))
        return z


class Decoder(nn.Sequential):
    """z (B, latent) -> image (B, C, H, W) in [-1, 1].

    The output padding is the printed 1 wherever a side is even; an odd side, such as the 1 that comes twice before an
    image of 8x8, takes 0. The width of the dense layer is not printed: 4m channels of the smallest side.
    """

    def __init__(self, shape: Shape, latent: int, width: int) -> None:
        channels, *image = shape
        rows, columns = (sides(side)[::-1] for side in image)
        start = (4 * width, rows[0], columns[0])
        parts: list[nn.Module] = [nn.Linear(latent, math.prod(start)), nn.ReLU(), nn.Unflatten(1, start)]
        planes = [4 * width, 4 * width, 2 * width, width, channels]
        for k in range(HALVINGS):
            extra = (rows[k + 1] - 2 * rows[k] + 1, columns[k + 1] - 2 * columns[k] + 1)
            options: Any = {"stride": 2, "padding": 2, "output_padding": extra}
            parts += [nn.ConvTranspose2d(planes[k], planes[k + 1], KERNEL, **options), nn.ReLU()]
        super().__init__(*parts[:-1], nn.Tanh())


class ScoreNetwork(nn.Module):
    """x (B, C, H, W), z (B, latent) -> an estimate of grad_z log q(z | x), (B, latent).

    preprocessing: what stands between the pair and the strided convolutions (table 7): nothing; `layers` convolutions
    of `width` channels; or an equilibrium of that many channels. cell: settings of its ConvCell; settings: of its DEQ.
    """

    def __init__(
        self,
        shape: Shape,
        latent: int,
        width: int,
        *,
        preprocessing: Preprocessing = "none",
        layers: int = 8,
        cell: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.dense = nn.Linear(latent, math.prod(shape))
        self.before: nn.Module = nn.Identity()
        channels = 2 * shape[0]
        if preprocessing == "augmented":
            self.before = augmented(channels, width, layers)
        elif preprocessing == "deq":
            self.before = Equilibrium(channels, width, cell or {}, settings)
        self.body = _strided(shape, channels if preprocessing == "none" else width, width, nn.Softplus)
        self.head = _head(shape, width, latent, nn.Softplus)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        plane = nn.functional.softplus(self.dense(z)).reshape((len(x), *self.shape))
        score: Tensor = self.head(self.body(self.before(torch.cat([x, plane], dim=1))).flatten(1))
        return score

    def given(self, x: Tensor) -> "Given":
        """z -> the score at z given these images."""
        return Given(self, x)


class Given(nn.Module):
    """z -> net(x, z) for images that stay, the first of them where there are fewer z."""

    def __init__(self, net: ScoreNetwork, x: Tensor) -> None:
        super().__init__()
        self.net, self.x = net, x

    def forward(self, z: Tensor) -> Tensor:
        score: Tensor = self.net(self.x[: len(z)], z)
        return score


class Equilibrium(nn.Module):
    """y (B, channels, H, W) -> the solution of z = softplus(W * z + g(y)), (B, width, H, W).

    g is one layer of the sequential network, W the linear part of such a layer. Source: table 7.
    """

    def __init__(self, channels: int, width: int, cell: dict[str, Any], settings: dict[str, Any]) -> None:
        super().__init__()
        self.g = augmented(channels, width, 1)
        self.deq = DEQ(ConvCell(width, kernel_size=KERNEL, **cell), **settings)

    def forward(self, y: Tensor) -> Tensor:
        z: Tensor = self.deq(self.g(y))
        return z


def augmented(channels: int, width: int, layers: int) -> nn.Sequential:
    """So many 5x5 convolutions of stride 1 with softplus, (B, channels, H, W) -> (B, width, H, W)."""
    parts: list[nn.Module] = []
    for k in range(layers):
        parts += [nn.Conv2d(channels if k == 0 else width, width, KERNEL, padding=2), nn.Softplus()]
    return nn.Sequential(*parts)


def _strided(shape: Shape, channels: int, width: int, activation: type[nn.Module]) -> nn.Sequential:
    planes = [channels, *(2**k * width for k in range(HALVINGS))]
    parts: list[nn.Module] = []
    for k in range(HALVINGS):
        parts += [nn.Conv2d(planes[k], planes[k + 1], KERNEL, stride=2, padding=2), activation()]
    return nn.Sequential(*parts)


def _head(shape: Shape, width: int, latent: int, activation: type[nn.Module]) -> nn.Sequential:
    flat = 8 * width * sides(shape[1])[-1] * sides(shape[2])[-1]
    return nn.Sequential(nn.Linear(flat, HIDDEN), activation(), nn.Linear(HIDDEN, latent))


class ImplicitVAE(nn.Module):
    """Encoder, decoder and score network, trained together."""

    def __init__(self, shape: Shape, latent: int, width: int, score: ScoreNetwork) -> None:
        super().__init__()
        self.shape, self.latent, self.score = shape, latent, score
        self.encoder = ImplicitEncoder(shape, latent, width)
        self.decoder = Decoder(shape, latent, width)

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """z (B, latent) of x (B, C, H, W), the noise drawn from the generator (on the CPU)."""
        noise = torch.randn(len(x), 1, *self.shape[1:], generator=generator).to(x)
        z: Tensor = self.encoder(x, noise)
        return z

    def surrogate(self, x: Tensor, z: Tensor, sigma: float = 1.0) -> Tensor:
        """(B,) whose gradient is that of the ELBO, and whose value is not: log p(x | z) + log p(z) - z . s(x, z).

        The score s is a constant in it: E_q grad log q . dz/dphi is all that is left of the entropy's gradient.
        log p(x | z) is N(decoder(z), sigma^2), log p(z) is N(0, I), both without constants. Eq. 11 prints no log p(z);
        without it the decoder's codes would have no distribution to be drawn from.
        """
        reconstruction = (x - self.decoder(z)).square().flatten(1).sum(1) / (2 * sigma**2)
        with torch.no_grad():
            score = self.score(x, z)
        return -reconstruction - z.square().sum(1) / 2 - (z * score).sum(1)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Images (count, C, H, W) decoded from z ~ N(0, I)."""
        weight = next(self.parameters())
        z = torch.randn(count, self.latent, generator=generator).to(weight)
        images: Tensor = self.decoder(z)
        return images
