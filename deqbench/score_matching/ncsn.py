"""Noise-conditional score networks: the full RefineNet, and the short one whose second block may be an equilibrium.

Source: table 8 (a) and (b), table 9, appendix D.4. The printed lists leave open what a block holds; see refinenet.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deqbench.score_matching.layers import ResidualCell
from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.refinenet import RefineBlock, ResBlock
from deqbench.solvers.deq import DEQ

Variant = Literal["ncsn", "two-res", "deq"]
PRINTED_WIDTH = 128


class FullNetwork(nn.Module):
    """x (B, C, H, W) with its level of noise (B,) int64 -> the score there, (B, C, H, W). Source: table 8 (a).

    Four stages of two residual blocks: the second pools, the third and fourth dilate by 2 and 4 in its place, as in the
    original network; four refinement blocks lead back. width: the printed 128.
    """

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        n, m = width, 2 * width
        self.begin = nn.Conv2d(channels, n, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(blocks)
            for blocks in (
                (ResBlock(n, n, levels), ResBlock(n, m, levels)),
                (ResBlock(m, m, levels, down=True), ResBlock(m, m, levels)),
                (ResBlock(m, m, levels, down=True, dilation=2), ResBlock(m, m, levels, dilation=2)),
                (ResBlock(m, m, levels, down=True, dilation=4), ResBlock(m, m, levels, dilation=4)),
            )
        )
        self.refine = nn.ModuleList(
            (
                RefineBlock([m], m, levels),
                RefineBlock([m, m], n, levels),
                RefineBlock([m, n], n, levels),
                RefineBlock([m, n], n, levels, last=True),
            )
        )
        self.end = nn.Conv2d(n, channels, 3, padding=1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h, maps = self.begin(x), []
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, level)
            maps.append(h)
        return _refined(self.refine, maps, level, self.end)


class Input(nn.Module):
    """g: a convolution and a residual block, (B, C, H, W) with levels (B,) -> (B, 2 width, H, W).

    taken: channels that the block is made for; other than width, a call raises RuntimeError, as by the letter of table
    9, where the block behind a convolution to 128 channels takes 256.
    """

    def __init__(self, channels: int, width: int, levels: int, taken: int | None = None) -> None:
        super().__init__()
        self.begin = nn.Conv2d(channels, width, 3, padding=1)
        self.first = ResBlock(width if taken is None else taken, 2 * width, levels)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        made: Tensor = self.first(self.begin(x), level)
        return made


class ShortNetwork(nn.Module):
    """x (B, C, H, W) with its level of noise (B,) int64 -> the score there, (B, C, H, W). Source: table 8 (b), table 9.

    equilibrium: the second block is the solution of z = h(z) + g, g the first convolution and block; else a plain
    residual block (TwoRes). cell: settings of the ResidualCell; settings: of the DEQ. h has neither the shortcut of a
    residual block, for with it z = z + r(z) + g asks for r(z) = -g and no bound on weights makes it a contraction, nor
    norms, which have no Lipschitz constant. g takes `width` channels to twice as many, as in table 8 (b).
    """

    def __init__(
        self,
        channels: int,
        width: int,
        levels: int,
        *,
        equilibrium: bool = True,
        cell: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        n, m = width, 2 * width
        self.input = Input(channels, n, levels)
        self.second: nn.Module = (
            DEQ(ResidualCell(m, **(cell or {})), **settings) if equilibrium else ResBlock(m, m, levels)
        )
        self.third = ResBlock(m, m, levels)
        self.down = nn.ModuleList((ResBlock(m, m, levels, down=True), ResBlock(m, m, levels)))
        self.refine = nn.ModuleList((RefineBlock([m], m, levels), RefineBlock([m, m], n, levels, last=True)))
        self.end = nn.Conv2d(n, channels, 3, padding=1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        g = self.input(x, level)
        second = self.second(g) if isinstance(self.second, DEQ) else self.second(g, level)
        h = self.third(second, level)
        maps = [h]
        for block in self.down:
            h = block(h, level)
        return _refined(self.refine, [*maps, h], level, self.end)


def _refined(refine: nn.ModuleList, maps: Sequence[Tensor], level: Tensor, end: nn.Module) -> Tensor:
    """The score from the maps of all stages, first to last: each block refines one more of them."""
    *earlier, last = maps
    h: Tensor = refine[0]([last], level)
    for block, skipped in zip(refine[1:], reversed(earlier), strict=True):
        h = block([skipped, h], level)
    score: Tensor = end(nn.functional.elu(h))
    return score


class AtLevels(nn.Module):
    """x -> net(x, level) for levels that stay, the first of them where there are fewer x."""

    def __init__(self, net: nn.Module, level: Tensor) -> None:
        super().__init__()
        self.net, self.level = net, level

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.net(x, self.level[: len(x)])
        return score


def network(variant: Variant, channels: int, width: int, levels: int, **options: Any) -> nn.Module:
    """The network of a variant. options: of ShortNetwork, which `ncsn` has not."""
    if variant == "ncsn":
        return FullNetwork(channels, width, levels)
    return ShortNetwork(channels, width, levels, equilibrium=variant == "deq", **options)


def perturbed(x: Tensor, sigmas: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The images (B, C, H, W) with noise of a level each, drawn evenly, and the levels (B,) int64.

    sigmas: (levels,). Draws are made on the CPU.
    """
    level = torch.randint(len(sigmas), (len(x),), generator=generator)
    noise = torch.randn(x.shape, generator=generator).to(x)
    scale = sigmas.to(x)[level.to(x.device)].view(-1, 1, 1, 1)
    return x + scale * noise, level.to(x.device)


def noise_conditional_loss(net: nn.Module, noisy: Tensor, level: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
    """sigma^2 times the loss of a score network at noisy images (B, C, H, W) of levels (B,), (B,).

    sigmas: (levels,). options: of score_matching_loss; `derivative` and `steps` are let be where the network has no
    equilibrium.
    """
    if not any(isinstance(module, DEQ) for module in net.modules()):
        options = {name: value for name, value in options.items() if name not in ("derivative", "steps")}
    at_levels = AtLevels(net, level)
    losses = score_matching_loss(at_levels, noisy, of="score", reduction="none", **options)
    return sigmas.to(noisy)[level].square() * losses
