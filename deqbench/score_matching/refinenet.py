"""Blocks of a noise-conditional RefineNet: residual and refinement blocks whose norms know the level of noise.

Source: Lin et al., "RefineNet" (2017); Song and Ermon, "Generative modeling by estimating gradients of the data
distribution" (2019), appendix A, for the norm and the dilations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate

STAGES, POOLS = 2, 2  # convolutions of a residual unit, and links of a pooling chain
EPS = 1e-5


class LevelNorm(nn.Module):
    """Instance normalisation that puts the channels' means back, normalised, with a scale and shifts for each level.

    x (B, C, H, W), level (B,) int64 -> gamma (x - mu) / s + beta + alpha (mu - m) / v, (B, C, H, W): mu and s of a
    channel's pixels, m and v of the channels' mu.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(levels, channels))
        self.alpha = nn.Parameter(torch.ones(levels, channels))
        self.beta = nn.Parameter(torch.zeros(levels, channels))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        mu = x.mean((2, 3))  # (B, C)
        offset = x - mu[:, :, None, None]
        plain = offset * (offset.square().mean((2, 3), keepdim=True) + EPS).pow(-0.5)
        apart = mu - mu.mean(1, keepdim=True)
        means = apart * (apart.square().mean(1, keepdim=True) + EPS).pow(-0.5)
        shift = self.beta[level] + self.alpha[level] * means
        return self.gamma[level][:, :, None, None] * plain + shift[:, :, None, None]


class Stage(nn.Module):
    """Norm, ELU and a 3x3 convolution, dilated if wanted: (B, C, H, W), (B,) -> (B, out, H, W)."""

    def __init__(self, channels: int, out: int, levels: int, *, dilation: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.norm = LevelNorm(channels, levels)
        self.conv = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation, bias=bias)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        made: Tensor = self.conv(elu(self.norm(x, level)))
        return made


class ResBlock(nn.Module):
    """x plus two stages of it, (B, C, H, W) -> (B, out, H, W), or of half the side where it goes down by pooling.

    down: halves the side, unless a dilation takes its place. Where channels change or it goes down, the shortcut is a
    1x1 convolution.
    """

    def __init__(self, channels: int, out: int, levels: int, *, down: bool = False, dilation: int = 1) -> None:
        super().__init__()
        self.channels, self.out, self.down = channels, out, down
        self.first = Stage(channels, out, levels, dilation=dilation)
        self.second = Stage(out, out, levels, dilation=dilation)
        self.shortcut = nn.Conv2d(channels, out, 1) if down or channels != out else nn.Identity()
        self.pooled = down and dilation == 1

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        made: Tensor = self.shortcut(x) + self.second(self.first(x, level), level)
        return avg_pool2d(made, 2) if self.pooled else made


class ResidualUnits(nn.Module):
    """So many residual units of two stages without bias, one after the other: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, units: int, levels: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            nn.ModuleList(Stage(channels, channels, levels, bias=False) for _ in range(STAGES)) for _ in range(units)
        )

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        for unit in self.units:
            h = x
            for stage in unit:  # type: ignore[attr-defined]
                h = stage(h, level)
            x = x + h
        return x


class PoolingChain(nn.Module):
    """ELU of x plus a chain of norms, 5x5 means and convolutions of it, each added: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(LevelNorm(channels, levels) for _ in range(POOLS))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(POOLS))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = h = elu(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(avg_pool2d(norm(h, level), 5, stride=1, padding=2))
            x = x + h
        return x


class RefineBlock(nn.Module):
    """Maps of several sides -> one of the largest side, (B, out, H, W).

    channels: of each map, the one to refine last. Each passes two residual units; several are convolved, brought to the
    largest side and added; a pooling chain and one residual unit (three in the last block) follow.
    """

    def __init__(self, channels: Sequence[int], out: int, levels: int, *, last: bool = False) -> None:
        super().__init__()
        self.channels, self.out = tuple(channels), out
        self.adapt = nn.ModuleList(ResidualUnits(each, 2, levels) for each in channels)
        several = channels if len(channels) > 1 or channels[0] != out else ()
        self.norms = nn.ModuleList(LevelNorm(each, levels) for each in several)
        self.convs = nn.ModuleList(nn.Conv2d(each, out, 3, padding=1) for each in several)
        self.chain = PoolingChain(out, levels)
        self.units = ResidualUnits(out, 3 if last else 1, levels)

    def forward(self, maps: Sequence[Tensor], level: Tensor) -> Tensor:
        adapted = [units(x, level) for units, x in zip(self.adapt, maps, strict=True)]
        side = max(tuple(x.shape[2:]) for x in adapted)
        if self.convs:
            parts = zip(self.norms, self.convs, adapted, strict=True)
            adapted = [_resized(conv(norm(x, level)), side) for norm, conv, x in parts]
        total = adapted[0]
        for x in adapted[1:]:
            total = total + x
        refined: Tensor = self.units(self.chain(total, level), level)
        return refined


def _resized(x: Tensor, side: tuple[int, ...]) -> Tensor:
    if tuple(x.shape[2:]) == side:
        return x
    return interpolate(x, size=side, mode="bilinear", align_corners=True)
