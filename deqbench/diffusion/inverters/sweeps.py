"""Ours: all states moved together in sweeps from x_0 back to x_T, each step inverted by what its past tells of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import Inverted, OnStep, Step, finite, reconstruct
from deqbench.diffusion.inverters import lbfgs
from deqbench.diffusion.inverters.joint_backward import first_states, terms

ROUGH, FINE = 1e-2, 1e-3  # ridges on the squared length of each difference: in early rounds close fits are worthless
EARLY = 12  # rounds until fits are trusted
FREE = 1.5  # how much longer than its plain part a move of a hard step may be from then on
HARD = 0.3  # a step is hard if it is to blame for this share of what the worst one is
FITTED = 16  # steps whose fits are held at once


PARTS = ("target", "states", "at", "led", "dx", "dy", "lengths")  # of a sweep, by image


@dataclass
class Sweep:
    """The states before each step, where they lead, and the last m differences of both: b images that still move."""

    chain: DDIMChain
    target: Tensor  # (b, D)
    states: Tensor  # (b, N, D), x_T first
    at: Tensor  # (b, N, D), the states last evaluated
    led: Tensor  # (b, N, D), where those lead
    dx: Tensor  # (b, N, m, D), differences of states between evaluations
    dy: Tensor  # (b, N, m, D), differences of where they lead
    lengths: Tensor  # (b, N, 2) float64, squared lengths of all dx and of all dy
    seen: int = 0  # evaluations of each

    @classmethod
    def start(cls, chain: DDIMChain, target: Tensor, states: Tensor, m: int) -> Sweep:
        """Before the first evaluation. states: (B, N, *dims)."""
        x = states.flatten(2)
        window = x.new_zeros(*x.shape[:2], m, x.shape[2])
        lengths = x.new_zeros(*x.shape[:2], 2, dtype=torch.float64)
        return cls(chain, target.flatten(1), x, x, x.clone(), window, window.clone(), lengths)

    def select(self, keep: Tensor) -> Sweep:
        """Those images alone."""
        parts = {name: getattr(self, name)[keep] for name in PARTS}
        return replace(self, chain=self.chain.select(keep), **parts)

    def evaluate(self, at_once: int | None) -> None:
        """Where the states lead, by calls of at most at_once states each."""
        x, chain = self.states, self.chain
        j = torch.arange(x.shape[1]).repeat(len(x))
        led = terms(chain, x.reshape(-1, *chain.x_T.shape[1:]), j, at_once).view_as(x)
        led = chain.ratio.to(x)[:, None] * x + chain.scale.to(x)[:, None] * led
        if chain.noise is not None:
            led += chain.noise_scale.to(x)[:, None] * chain.noise.flatten(2)
        if self.seen:
            slot = (self.seen - 1) % self.dx.shape[2]
            for window, change, kind in ((self.dx, x - self.at, 0), (self.dy, led - self.led, 1)):
                window[:, :, slot] = change
                # Those of the window as it is now: a sum kept up to date would not forget its roundings.
                self.lengths[:, :, kind] = torch.stack([d.double().square().sum(2) for d in window.unbind(2)]).sum(0)
        self.at, self.led, self.seen = x, led, self.seen + 1

    def gaps(self) -> Tensor:
        """(b, N) float64: squared distances between where the states last evaluated lead and what follows them."""
        after = torch.cat([self.states[:, 1:], self.target[:, None]], 1)
        return (after - self.led).double().square().sum(2)

    def blame(self) -> Tensor:
        """(b, N) float64: what the gaps add to the loss, as the differences tell.

        The steps after a gap shrink it as much as they have shrunk their own differences, |dy|^2 / |dx|^2.
        """
        dx, dy = self.lengths.unbind(2)
        left = torch.where(dx > 0, dy / dx, 1).clamp_max(1)
        after = torch.cat([left[:, 1:], torch.ones_like(left[:, :1])], 1)
        return self.gaps() * after.flip(1).cumprod(1).flip(1)

    def move(self, trust: Tensor, ridge: float) -> None:
        """New states, from the last back: each is to lead to the one after it. trust: (b, N), see invert."""
        inverse, tiny = (1 / self.chain.ratio).to(self.dx), torch.finfo(self.dy.dtype).tiny
        states, y = torch.empty_like(self.states), self.target
        for end in range(states.shape[1], 0, -FITTED):
            begin = max(0, end - FITTED)
            fit, beyond = self._fits(begin, end, ridge, inverse)
            for j in reversed(range(begin, end)):
                gap = y - self.led[:, j]
                plain = inverse[j] * gap
                extra = torch.bmm(torch.bmm(fit[:, j - begin], gap[:, :, None]).mT, beyond[:, j - begin])[:, 0]
                longest = trust[:, j, None].to(plain) * plain.norm(dim=1, keepdim=True)
                most = (longest / extra.norm(dim=1, keepdim=True).clamp_min(tiny)).clamp_max(1)
                states[:, j] = y = self.at[:, j] + plain + most * extra
        self.states = states

    def _fits(self, begin: int, end: int, ridge: float, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """(b, M, m, D) each, of steps begin..end-1: what a gap is worth in past dy, and dx beyond its plain part."""
        dy = self.dy[:, begin:end].double()
        gram = dy @ dy.mT
        gram = gram + torch.diag_embed(ridge * gram.diagonal(dim1=2, dim2=3) + torch.finfo(self.dy.dtype).tiny)
        fit = torch.linalg.solve_ex(gram, dy)[0].to(self.dy)
        return fit, self.dx[:, begin:end] - inverse[begin:end, None, None] * self.dy[:, begin:end]


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    first: Literal["target", "noised", "encoding", "trajectory"] = "target",
    tol: float = 1e-4,
    max_iter: int = 100,
    m: int = 10,
    trust: float = 0.7,
    polish: int = 0,
    at_once: int | None = 32,
    on_step: OnStep | None = None,
) -> Inverted:
    """The x_T whose chain, walked step by step, ends within a loss of tol of target, or the best of max_iter rounds.

    A round evaluates all N states, then sweeps back from the target: to lead to y, a state moves by
    (y - y_now) / ratio, the plain fixed-point step, plus what the differences of its last m rounds say about the
    inverse of its Jacobian (Anderson's type II, for each step by itself), at most `trust` times as long as the plain
    part: the early moves are too long for one linear fit. A difference is a fact about one step of the chain, whatever
    the state after it does meanwhile, so no step waits for another. From round 13 on the steps to blame for most of the
    loss, those at low noise whose Jacobians are nearly singular, may move by 1.5 times their plain part.

    An image is `converged` once the sequential chain from its x_T has passed the check (N evaluations, counted). The
    best x_T that was checked is returned. first: the states it starts from, see first_states; `noised` and
    `trajectory` start from chain.x_T. polish: updates by L-BFGS with exact gradients for images that have not
    converged: with large eta the target may lie out of reach. at_once: states in one call of the network, None for all
    of them; larger calls than the default gain less than a fifth on a CPU. Held are about (2 m + 6) N states an image,
    and the activations of one call.
    """
    for name, found, low in (("max_iter", max_iter, 1), ("m", m, 1), ("at_once", at_once, 1), ("polish", polish, 0)):
        if found is not None and found < low:
            raise ValueError(f"{name}: expected at least {low}; found {found}")
    for name, value in (("tol", tol), ("trust", trust)):
        if not value >= 0:
            raise ValueError(f"{name}: expected a number of at least 0; found {value}")
    run = Run(chain, target, tol, on_step)
    states, before = first_states(chain, target, first)
    run.nfe += before
    if first == "encoding":  # a result already, told before the first round
        run.begin(states[:, 0])
    run.sweep(states, max_iter, m, trust, at_once)
    run.choose()
    if polish:
        run.polish(polish)
    return run.result()


class Run:
    """An inversion of B images: what each has come to."""

    def __init__(self, chain: DDIMChain, target: Tensor, tol: float, on_step: OnStep | None) -> None:
        self.chain, self.target, self.tol, self.on_step = chain, target, tol, on_step
        self.x_T = chain.x_T.to(target).clone()
        self.least = self.x_T.new_full((len(target),), float("inf"), dtype=torch.float64)  # sum of the blames
        self.calm = self.x_T.clone()  # x_T of the least blames
        self.best = self.x_T.clone()  # of the least loss, of those checked
        self.demand = torch.full_like(self.least, self.tol)
        self.losses = torch.full_like(self.least, float("inf"))
        self.steps, self.nfe, self.vjps = torch.zeros(3, len(target), dtype=torch.int64)
        self.diverged = torch.zeros(len(target), dtype=torch.bool, device=target.device)
        self._tell(0)

    def begin(self, x_T: Tensor) -> None:
        """x_T (B, *dims) as a better start than the given one."""
        self.x_T = x_T.clone()
        self._tell(0)

    def sweep(self, states: Tensor, max_iter: int, m: int, trust: float, at_once: int | None) -> None:
        """Rounds until every image has converged, diverged, or had max_iter of them."""
        made = Sweep.start(self.chain, self.target, states, m)
        images = torch.arange(len(states), device=states.device)
        for number in range(1, max_iter + 1 if len(states) else 1):
            made.evaluate(at_once)
            gaps, blame = made.gaps(), made.blame()
            self._calmest(images, made.states[:, 0], blame.sum(1))
            hard = blame >= HARD * blame.amax(1, keepdim=True)
            late = number > EARLY
            made.move(torch.where(hard & late, max(trust, FREE), trust), FINE if late else ROUGH)
            self.steps[images.cpu()] = number
            self.nfe[images.cpu()] += states.shape[1]
            # A hard step's gap may reach the image whole, and a check that fails costs N evaluations.
            promised = torch.where(hard, gaps, blame).sum(1)
            going = self._going(made, images, promised <= self.demand[images])
            self._tell(number)
            if not going.all():
                keep = going.nonzero()[:, 0]
                made, images = made.select(keep), images[keep]
            if not len(images):
                break

    def _going(self, made: Sweep, images: Tensor, over: Tensor) -> Tensor:
        """(b,) bool: which of the images go on, after their new x_T was taken over and, where asked for, checked."""
        ok = finite(made.states[:, 0])
        self.x_T[images] = made.states[:, 0].unflatten(1, self.x_T.shape[1:])
        self.diverged[images[~ok]] = True
        return ok & ~self._settled(images, over & ok)

    def _calmest(self, images: Tensor, x_T: Tensor, gaps: Tensor) -> None:
        """Remember the x_T (b, D) of the smallest gaps (b,)."""
        calm = gaps < self.least[images]
        self.calm[images[calm]] = x_T[calm].unflatten(1, self.calm.shape[1:])
        self.least[images[calm]] = gaps[calm]

    def _settled(self, images: Tensor, over: Tensor) -> Tensor:
        """(b,) bool: which of the images converge, by a check of those whose gaps promise it, `over`."""
        settled = torch.zeros_like(over)
        asked = images[over]
        if len(asked):
            found = self._check(asked, self.x_T[asked])
            settled[over] = found <= self.tol
            # An image that fails is asked again once its gaps are as much smaller as its loss has to be.
            self.demand[asked] *= (self.tol / found).clamp(0.01, 1) / 2
        return settled

    def _check(self, images: Tensor, x_T: Tensor) -> Tensor:
        """(b,) float64: the losses of the sequential chains from x_T."""
        chain = self.chain.select(images)
        found = loss(reconstruct(chain, x_T), self.target[images]).nan_to_num(float("inf"))
        self.nfe[images.cpu()] += chain.steps
        better = found < self.losses[images]
        self.losses[images[better]], self.best[images[better]] = found[better], x_T[better]
        return found

    def choose(self) -> None:
        """The best x_T that was checked; of images that have not converged the last, the calmest, the given one too."""
        left = (~(self.losses <= self.tol)).nonzero()[:, 0]
        if len(left):
            for x_T in (self.x_T[left], self.calm[left], self.chain.x_T.to(self.target)[left]):
                self._check(left, x_T)
        self.x_T = self.best.clone()

    def polish(self, epochs: int) -> None:
        """L-BFGS on the images that have not converged."""
        left = ((self.losses > self.tol) & self.losses.isfinite()).nonzero()[:, 0]
        if not len(left):
            return
        chain = replace(self.chain.select(left), x_T=self.x_T[left])
        before = int(self.steps.max())

        def tell(step: Step) -> None:
            self.x_T[left] = step.x_T
            if step.number:
                self._tell(before + step.number)

        found = lbfgs.invert(chain, self.target[left], epochs=epochs, threshold=self.tol, on_step=tell)
        self.x_T[left] = found.x_T
        for count, more in ((self.steps, found.steps), (self.nfe, found.nfe), (self.vjps, found.vjps)):
            count[left.cpu()] += more
        self._check(left, found.x_T)
        self.x_T = self.best.clone()

    def result(self) -> Inverted:
        """What was found."""
        words = zip(self.losses.tolist(), self.diverged.tolist(), strict=True)
        stopped = tuple("converged" if x <= self.tol else "diverged" if bad else "max_iter" for x, bad in words)
        return Inverted(self.x_T, self.steps, self.nfe, self.vjps, stopped)

    def _tell(self, number: int) -> None:
        if self.on_step:
            self.on_step(Step(number, self.x_T))
