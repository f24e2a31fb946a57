"""The states of a chain inverted step by step, and the inverse of each step by secants of the rounds so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverters.joint_backward import First, terms

ROUGH, FINE = 1e-2, 1e-3  # ridges on the squared length of each difference: in early rounds close fits are worthless
EARLY = 12  # rounds until fits are trusted
FREE = 1.5  # how much longer than its plain part a move of a hard step may be from then on
HARD = 0.3  # a step is hard if it is to blame for this share of what the worst one is
FITTED = 16  # steps whose fits are held at once
SETTLED = 0.1  # what gaps that are left for good may add to the loss, as a share of its tolerance

HELD = ("states", "at", "led", "dx", "dy", "lengths", "seen")  # by image and step
PARTS = (*HELD, "image", "target", "first", "last", "waited", "shrunk", "eps")  # by image


@dataclass
class StepInverses:
    """The states before W steps in a row, where they lead, and the last m differences: b images that still move.

    The steps held are the last ones that have not settled. Once the gap after the last of them no longer matters its
    state is what the step before it is to lead to, and a new one is held at the front.
    """

    chain: DDIMChain
    start: First  # how states are made that come into the window
    image: Tensor  # (b, D), what the chain is to lead to
    target: Tensor  # (b, D), what the last step held is to lead to
    first: Tensor  # (b,) int64, the first step held
    last: Tensor  # (b,) int64, the place in the window of the last step that has not settled
    waited: Tensor  # (b,) int64, rounds that it has been the last one
    shrunk: Tensor  # (b,) float64, what the steps after the window leave of a squared gap before them
    eps: Tensor  # (b, D), noise predicted before the first step held
    states: Tensor  # (b, W, D)
    at: Tensor  # (b, W, D), the states last evaluated
    led: Tensor  # (b, W, D), where those lead
    dx: Tensor  # (b, W, m, D), differences of states between evaluations
    dy: Tensor  # (b, W, m, D), differences of where they lead
    lengths: Tensor  # (b, W, 2) float64, squared lengths of all dx and of all dy
    seen: Tensor  # (b, W) int64, evaluations of each
    rounds: int = 0

    @classmethod
    def begin(cls, chain: DDIMChain, target: Tensor, states: Tensor, m: int, start: First) -> StepInverses:
        """Before the first evaluation. target: (B, *dims), states: (B, W, *dims), before the last W steps."""
        x, y = states.flatten(2), target.flatten(1)
        past = x.new_zeros(*x.shape[:2], m, x.shape[2])
        lengths = x.new_zeros(*x.shape[:2], 2, dtype=torch.float64)
        seen = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
        one = torch.ones(len(x), dtype=torch.int64, device=x.device)
        place = ((chain.steps - x.shape[1]) * one, (x.shape[1] - 1) * one, 0 * one, one.double(), torch.zeros_like(y))
        return cls(chain, start, y, y, *place, x, x, x.clone(), past, past.clone(), lengths, seen)

    def select(self, keep: Tensor) -> StepInverses:
        """The same of those images alone."""
        return replace(self, chain=self.chain.select(keep), **{name: getattr(self, name)[keep] for name in PARTS})

    @property
    def steps(self) -> Tensor:
        """(b, W) int64, the steps held."""
        return self.first[:, None] + torch.arange(self.states.shape[1], device=self.first.device)

    @property
    def reached(self) -> Tensor:
        """(b,) bool, whether x_T is held."""
        return self.first == 0

    def evaluate(self, at_once: int | None) -> None:
        """Evaluates the states: where each leads, by calls of at most at_once states."""
        x, chain, steps = self.states, self.chain, self.steps
        eps = terms(chain, x.reshape(-1, *chain.x_T.shape[1:]), steps.flatten().cpu(), at_once).view_as(x)
        led = _at(chain.ratio, steps, x) * x + _at(chain.scale, steps, x) * eps + self._noise(steps)
        self.eps = eps[:, 0].clone()
        if self.rounds:
            slot, known = (self.rounds - 1) % self.dx.shape[2], (self.seen > 0)[..., None]
            for past, change, kind in ((self.dx, x - self.at, 0), (self.dy, led - self.led, 1)):
                past[:, :, slot] = torch.where(known, change, 0)
                # Those of the past as it is now: a sum kept up to date would not forget its roundings.
                self.lengths[:, :, kind] = torch.stack([d.double().square().sum(2) for d in past.unbind(2)]).sum(0)
        self.at, self.led, self.seen, self.rounds = x, led, self.seen + 1, self.rounds + 1

    def _noise(self, steps: Tensor) -> Tensor:
        """(b, M, D): what the chain's noise adds in the steps (b, M); zeros (b, M, 1) where it has none."""
        if self.chain.noise is None:
            return self.at.new_zeros(*steps.shape, 1)
        noise = self.chain.noise.flatten(2)[torch.arange(len(steps), device=steps.device)[:, None], steps]
        return _at(self.chain.noise_scale, steps, noise) * noise

    def gaps(self) -> Tensor:
        """(b, W) float64: squared distances between where the states last evaluated lead and what follows them."""
        after = torch.cat([self.states[:, 1:], self.target[:, None]], 1)
        return (after - self.led).double().square().sum(2)

    def blame(self) -> Tensor:
        """(b, W) float64: what the gaps add to the loss, as the differences tell.

        The steps after a gap shrink it as much as they have shrunk their own differences, |dy|^2 / |dx|^2.
        """
        return self.gaps() * self._shrinks()[:, 1:]

    def _shrinks(self) -> Tensor:
        """(b, W + 1) float64: what the chain's end keeps of a squared gap before each step, and after the last one."""
        dx, dy = self.lengths.unbind(2)
        own = torch.where(dx > 0, dy / dx, 1).clamp_max(1)
        return torch.cat([own, self.shrunk[:, None]], 1).flip(1).cumprod(1).flip(1)

    def move(self, trust: Tensor, ridge: Tensor) -> None:
        """New states, from the last back: each is to lead to the one after it. trust, ridge: (b, W)."""
        inverse, tiny = _at(1 / self.chain.ratio, self.steps, self.dx), torch.finfo(self.dy.dtype).tiny
        states, y = torch.empty_like(self.states), self.target
        for end in range(states.shape[1], 0, -FITTED):
            begin = max(0, end - FITTED)
            fit, beyond = self._fits(begin, end, ridge, inverse)
            for j in reversed(range(begin, end)):
                gap = y - self.led[:, j]
                plain = inverse[:, j] * gap
                extra = torch.bmm(torch.bmm(fit[:, j - begin], gap[:, :, None]).mT, beyond[:, j - begin])[:, 0]
                longest = trust[:, j, None].to(plain) * plain.norm(dim=1, keepdim=True)
                most = (longest / extra.norm(dim=1, keepdim=True).clamp_min(tiny)).clamp_max(1)
                states[:, j] = y = self.at[:, j] + plain + most * extra
        self.states = states

    def _fits(self, begin: int, end: int, ridge: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """(b, M, m, D) each, of steps begin..end-1: what a gap is worth in past dy, and dx beyond its plain part."""
        dy, ridge = self.dy[:, begin:end].double(), ridge[:, begin:end, None]
        gram = dy @ dy.mT
        gram = gram + torch.diag_embed(ridge * gram.diagonal(dim1=2, dim2=3) + torch.finfo(self.dy.dtype).tiny)
        fit = torch.linalg.solve_ex(gram, dy)[0].to(self.dy)
        return fit, self.dx[:, begin:end] - inverse[:, begin:end, None] * self.dy[:, begin:end]

    def settle(self, gaps: Tensor, small: Tensor, patience: int) -> None:
        """Finds the last step that has not settled; gaps: (b, W), small: (b,), what settles a step with those after it.

        One that has been the last for `patience` rounds is given up: at low noise a step may not lead just anywhere.
        """
        width = self.states.shape[1]
        place = torch.arange(width, device=gaps.device)
        settled = (gaps <= small[:, None]) | (place > self.last[:, None])
        last = width - 1 - settled.flip(1).cumprod(1).sum(1)
        waited = torch.where(last == self.last, self.waited + 1, 0)
        given_up = waited >= patience
        self.last, self.waited = last - given_up.long(), torch.where(given_up, 0, waited)

    def slide(self) -> None:
        """Lets go of settled steps, as far as there are others to hold."""
        width = self.states.shape[1]
        by = (width - 1 - self.last).minimum(self.first)
        if not by.any():
            return
        images, end = torch.arange(len(by), device=by.device), width - by
        self.target = torch.cat([self.states, self.target[:, None]], 1)[images, end]
        self.shrunk = self._shrinks()[images, end]
        after, source = self.states[:, 0], torch.arange(width, device=by.device) - by[:, None]
        for name in HELD:
            part = getattr(self, name)[images[:, None], source.clamp_min(0)]
            if name not in ("states", "at", "led"):  # these are made anew before they are read
                part.masked_fill_(_wide(source < 0, part), 0)
            setattr(self, name, part)
        self.first, self.last = self.first - by, self.last + by
        for place in reversed(range(int(by.max()))):
            new = (place < by)[:, None]
            after = torch.where(new, self._made(after, self.first + place), after)
            self.states[:, place] = torch.where(new, after, self.states[:, place])

    def _made(self, after: Tensor, steps: Tensor) -> Tensor:
        """(b, D): states before the steps (b,) to begin with; after: the states after them."""
        if self.start == "encoding":
            return self._encoded(after, steps)
        if self.start == "target":
            return self.image
        kept, x_T = self.chain.alpha_bar[:-1], self.chain.x_T.flatten(1)
        return _at(kept.sqrt(), steps, after) * self.image + _at((1 - kept).sqrt(), steps, after) * x_T

    def _encoded(self, after: Tensor, steps: Tensor) -> Tensor:
        """(b, D): the states before the steps (b,) by the noise predicted before the first step held."""
        rest = after - self._noise(steps[:, None])[:, 0] - _at(self.chain.scale, steps, after) * self.eps
        return rest / _at(self.chain.ratio, steps, after)

    def x_T(self) -> Tensor:
        """(b, D): where it is not held yet, what the noise predicted before the first step held makes of its state."""
        x = self.states[:, 0]
        for j in reversed(range(int(self.first.max()))):
            x = torch.where((self.first > j)[:, None], self._encoded(x, torch.full_like(self.first, j)), x)
        return x


def _at(values: Tensor, steps: Tensor, like: Tensor) -> Tensor:
    """(*steps, 1): the values (N,) of those steps."""
    return values.to(like)[steps.to(values.device)].to(like)[..., None]


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    """mask (b, W) with as many dimensions as like (b, W, ...)."""
    return mask.view(*mask.shape, *[1] * (like.dim() - 2))
