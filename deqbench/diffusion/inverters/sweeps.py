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
from deqbench.diffusion.inverters.joint_backward import first_states

ROUGH, FINE = 1e-2, 1e-8  # ridges on the squared length of each difference: in early rounds close fits are worthless
FREE = 30.0  # how much longer than the plain part a move may be once the steps are near their solutions
PATIENCE = 25  # evaluations of one step before the next one has its turn


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
    seen: Tensor  # (b, N) int64, evaluations of each

    @classmethod
    def start(cls, chain: DDIMChain, target: Tensor, states: Tensor, m: int) -> Sweep:
        """Before the first evaluation. states: (B, N, *dims)."""
        x = states.flatten(2)
        window = x.new_zeros(*x.shape[:2], m, x.shape[2])
        seen = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
        return cls(chain, target.flatten(1), x, x, x.clone(), window, window.clone(), seen)

    def select(self, keep: Tensor) -> Sweep:
        """Those images alone."""
        parts = {name: getattr(self, name)[keep] for name in ("target", "states", "at", "led", "dx", "dy", "seen")}
        return replace(self, chain=self.chain.select(keep), **parts)

    def evaluate(self, asked: Tensor) -> None:
        """Where the states asked for, (b, N) bool, lead, by one batched call."""
        i, j = asked.nonzero(as_tuple=True)
        x, chain = self.states[i, j], self.chain
        eps = chain.step_terms(x.view(-1, *chain.x_T.shape[1:]), j.cpu()).flatten(1)
        led = chain.ratio.to(x)[j, None] * x + chain.scale.to(x)[j, None] * eps
        if chain.noise is not None:
            led += chain.noise_scale.to(x)[j, None] * chain.noise[i, j].flatten(1)
        slot, again = self.seen[i, j] % self.dx.shape[2], (self.seen[i, j] > 0)[:, None]
        self.dx[i, j, slot] = torch.where(again, x - self.at[i, j], 0)
        self.dy[i, j, slot] = torch.where(again, led - self.led[i, j], 0)
        self.at = self.at.index_put((i, j), x)
        self.led = self.led.index_put((i, j), led)
        self.seen[i, j] += 1

    def gaps(self) -> Tensor:
        """(b, N) float64: squared distances between where the states last evaluated lead and what follows them."""
        after = torch.cat([self.states[:, 1:], self.target[:, None]], 1)
        return (after - self.led).double().square().sum(2)

    def move(self, last: Tensor, trust: float, ridge: float) -> None:
        """New states up to each image's step `last`, (b,), from there back: each is to lead to the one after it."""
        gram = self.dy @ self.dy.mT
        tiny = torch.finfo(gram.dtype).tiny
        gram = gram.double() + torch.diag_embed(ridge * gram.diagonal(dim1=2, dim2=3) + tiny).double()
        fit = torch.linalg.solve_ex(gram, self.dy.double())[0].to(self.dy)  # (b, N, m, D)
        inverse = (1 / self.chain.ratio).to(self.dx)
        beyond = self.dx - inverse[:, None, None] * self.dy
        states, y = self.states.clone(), self.target
        for j in reversed(range(int(last.max()) + 1)):
            y = states[:, j + 1] if j + 1 < states.shape[1] else self.target
            gap = y - self.led[:, j]
            plain = inverse[j] * gap
            extra = torch.bmm(torch.bmm(fit[:, j], gap[:, :, None]).mT, beyond[:, j])[:, 0]
            length = extra.norm(dim=1, keepdim=True).clamp_min(tiny)
            share = (trust * plain.norm(dim=1, keepdim=True) / length).clamp_max(1)
            moved = self.at[:, j] + plain + share * extra
            states[:, j] = torch.where((j <= last)[:, None], moved, states[:, j])
        self.states = states


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    first: Literal["target", "encoding", "trajectory"] = "target",
    tol: float = 1e-4,
    max_iter: int = 200,
    joint: int = 12,
    m: int = 10,
    trust: float = 0.7,
    polish: int = 0,
    on_step: OnStep | None = None,
) -> Inverted:
    """The x_T whose chain, walked step by step, ends within a loss of tol of target, or the best of max_iter rounds.

    Each of the first `joint` rounds evaluates all N states in one batched call, then sweeps back from the target: to
    lead to y, a state moves by (y - y_now) / ratio, the plain fixed-point step, plus what the differences of its last m
    rounds say about the inverse of its Jacobian (Anderson's type II, for each step by itself), at most `trust` times as
    long as the plain part: the early moves are too long for one linear fit. A difference is a fact about one step of
    the chain, whatever the state after it does meanwhile, so no step waits for another. Later rounds take the steps one
    after another, each until its gap is small, with the differences known by then: the step at the lowest noise, whose
    Jacobian is nearly singular, needs most of them. All states before it are moved along, so every round has an x_T.

    An image is `converged` once the sequential chain from its x_T has passed the check (N evaluations, counted). The
    best x_T that was checked is returned. first: the states it starts from, see first_states; with `trajectory`,
    chain.x_T is where it starts. polish: updates by L-BFGS with exact gradients for images that have not converged:
    with large eta the target may lie out of reach.
    """
    for name, found, low in (("max_iter", max_iter, 1), ("m", m, 1), ("joint", joint, 0), ("polish", polish, 0)):
        if found < low:
            raise ValueError(f"{name}: expected at least {low}; found {found}")
    for name, value in (("tol", tol), ("trust", trust)):
        if not value >= 0:
            raise ValueError(f"{name}: expected a number of at least 0; found {value}")
    run = Run(chain, target, tol, on_step)
    states, before = first_states(chain, target, first)
    run.nfe += before
    run.sweep(states, joint, max_iter, m, trust)
    run.choose()
    if polish:
        run.polish(polish)
    return run.result()


class Run:
    """An inversion of B images: what each has come to."""

    def __init__(self, chain: DDIMChain, target: Tensor, tol: float, on_step: OnStep | None) -> None:
        self.chain, self.target, self.tol, self.on_step = chain, target, tol, on_step
        self.x_T = chain.x_T.to(target).clone()
        self.least = self.x_T.new_full((len(target),), float("inf"), dtype=torch.float64)  # sum of squared gaps
        self.calm = self.x_T.clone()  # x_T of the least gaps
        self.best = self.x_T.clone()  # of the least loss, of those checked
        self.demand = torch.full_like(self.least, self.tol)
        self.losses = torch.full_like(self.least, float("inf"))
        self.steps, self.nfe, self.vjps = torch.zeros(3, len(target), dtype=torch.int64)
        self.diverged = torch.zeros(len(target), dtype=torch.bool, device=target.device)
        self._tell(0)

    def sweep(self, states: Tensor, joint: int, max_iter: int, m: int, trust: float) -> None:
        """Rounds until every image has converged, diverged, or had max_iter of them."""
        b, N = states.shape[:2]
        made = Sweep.start(self.chain, self.target, states, m)
        images = torch.arange(b, device=states.device)
        last = torch.full_like(images, N - 1)  # the step that an image is at, once it goes step by step
        tries = torch.zeros_like(images)
        for number in range(1, max_iter + 1 if b else 1):
            asked = (torch.arange(N, device=states.device) == last[:, None]) | (number <= joint)
            made.evaluate(asked)
            gaps = made.gaps()
            if number <= joint:
                self._calmest(images, made.states[:, 0], gaps.sum(1))
                made.move(last, trust, ROUGH)
                over = gaps.sum(1) <= self.demand[images]
            else:
                made.move(last, FREE, FINE)
                tries += 1
                near = gaps.gather(1, last[:, None])[:, 0] <= self.demand[images] / N
                done = near | (tries >= PATIENCE)
                last, tries = torch.where(done, last - 1, last), torch.where(done, 0, tries)
                over = last < 0
                last = torch.where(over, N - 1, last)
            self.steps[images.cpu()] = number
            self.nfe[images.cpu()] += asked.sum(1).cpu()
            going = self._going(made, images, over)
            self._tell(number)
            if not going.all():
                keep = going.nonzero()[:, 0]
                made, images, last, tries = made.select(keep), images[keep], last[keep], tries[keep]
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
