"""Ours, `sweeps`: all states moved together, from x_0 back to x_T, each step inverted by secants of its past rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Whole
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import Update, finite, reconstruct
from deqbench.diffusion.inverters import lbfgs
from deqbench.diffusion.inverters.joint_backward import first_states
from deqbench.diffusion.step_inverses import EARLY, FINE, FREE, HARD, ROUGH, SETTLED, StepInverses


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    first: Literal["target", "noised", "encoding", "trajectory"] = "target",
    tol: NonNegative = 1e-4,
    max_iter: Count = 100,
    m: Count = 10,
    trust: NonNegative = 0.7,
    polish: Whole = 0,
    at_once: Count | None = 32,
    window: Count | None = None,
    patience: Count = 20,
) -> Iterator[Update]:
    """The x_T whose chain, walked step by step, ends within a loss of tol of target, or the best of max_iter rounds.

    A round evaluates all N states, then goes back from the target: to lead to y, a state moves by
    (y - y_now) / ratio, the plain fixed-point step, plus what the differences of its last m rounds say about the
    inverse of its Jacobian (Anderson's type II, for each step by itself), at most `trust` times as long as the plain
    part: the early moves are too long for one linear fit. A difference is a fact about one step of the chain, whatever
    the state after it does meanwhile, so no step waits for another. From round 13 on the steps to blame for most of the
    loss, those at low noise whose Jacobians are nearly singular, may move by 1.5 times their plain part.

    An image is `converged` once the sequential chain from its x_T has passed the check (N evaluations, counted). The
    best x_T that was checked is returned. first: the states it starts from, see first_states; `noised` and
    `trajectory` start from chain.x_T. polish: updates by L-BFGS with exact gradients for images that have not
    converged: with large eta the target may lie out of reach. at_once: states in one call of the network, None for all
    of them; larger calls than the default gain less than a fifth on a CPU.

    window: steps held, None for all. Fewer are the last ones that have not settled, so that about (2 m + 6) window
    states an image are held, whatever N is, and the activations of one call. A step settles when its gap could add no
    more than a tenth of tol / N to the loss, or after `patience` rounds as the last one; states beyond the window are
    made when it reaches them, by `encoding` from the noise predicted last, without an evaluation of their own. An image
    is given up, as `max_iter`, when all its steps have settled and the check fails.
    """
    run = Search(chain, target, tol)
    yield run.update()
    states, before = first_states(chain, target, first, window)
    run.nfe += before
    if first == "encoding" and states.shape[1] == chain.steps:  # a result already, told before the first round
        run.x_T = states[:, 0].clone()
        yield run.update()
    yield from run.rounds(StepInverses.begin(chain, target, states, m, first), max_iter, trust, at_once, patience)
    run.choose()
    if polish:
        yield from run.polish(polish)
    yield replace(run.update(), quiet=True)


class Search:
    """An inversion of B images: what each has come to."""

    def __init__(self, chain: DDIMChain, target: Tensor, tol: float) -> None:
        self.chain, self.target, self.tol = chain, target, tol
        self.x_T = chain.x_T.to(target).clone()
        self.least = self.x_T.new_full((len(target),), float("inf"), dtype=torch.float64)  # sum of the blames
        self.calm = self.x_T.clone()  # x_T of the least blames
        self.best = self.x_T.clone()  # of the least loss, of those checked
        self.demand = torch.full_like(self.least, self.tol)
        self.losses = torch.full_like(self.least, float("inf"))
        self.calls, self.nfe, self.vjps = torch.zeros(3, len(target), dtype=torch.int64)  # since the last update
        self.diverged = torch.zeros(len(target), dtype=torch.bool, device=target.device)

    def update(self) -> Update:
        """The state of the inversion, with what it has taken since the last update."""
        settled = self.losses <= self.tol
        counts = {"calls": self.calls, "nfe": self.nfe, "vjps": self.vjps}
        self.calls, self.nfe, self.vjps = torch.zeros(3, len(self.x_T), dtype=torch.int64)
        return Update(x_T=self.x_T, settled=settled, lost=self.diverged & ~settled, **counts)

    def rounds(
        self, inverses: StepInverses, max_iter: int, trust: float, at_once: int | None, patience: int
    ) -> Iterator[Update]:
        """Rounds until every image has converged, diverged, been given up, or had max_iter of them."""
        images = torch.arange(len(inverses.states), device=inverses.states.device)
        windowed = inverses.states.shape[1] < self.chain.steps
        for _ in range(max_iter if len(images) else 0):
            inverses.evaluate(at_once)
            gaps, blame = inverses.gaps(), inverses.blame()
            self._calmest(images, inverses, blame.sum(1))
            hard = blame >= HARD * blame.amax(1, keepdim=True)
            late = inverses.seen > EARLY
            inverses.move(
                torch.where(hard & late, max(trust, FREE), trust), blame.new_tensor([ROUGH, FINE])[late.long()]
            )
            self.calls[images.cpu()] += 1
            self.nfe[images.cpu()] += inverses.states.shape[1]
            # A hard step's gap may reach the image whole, and a check that fails costs N evaluations.
            over = torch.where(hard, gaps, blame).sum(1) <= self.demand[images]
            given_up = torch.zeros_like(over)
            if windowed:
                inverses.settle(gaps, SETTLED / self.chain.steps * self.demand[images], patience)
                given_up = inverses.reached & (inverses.last < 0)
            going = self._going(inverses, images, inverses.reached & (over | given_up)) & ~given_up
            yield self.update()
            if windowed:
                inverses.slide()
            if not going.all():
                keep = going.nonzero()[:, 0]
                inverses, images = inverses.select(keep), images[keep]
            if not len(images):
                break

    def _going(self, inverses: StepInverses, images: Tensor, over: Tensor) -> Tensor:
        """(b,) bool: which of the images go on, after their new x_T was taken over and, where asked for, checked."""
        ok = finite(inverses.states[:, 0])
        self.x_T[images] = inverses.x_T().unflatten(1, self.x_T.shape[1:])
        self.diverged[images[~ok]] = True
        return ok & ~self._settled(images, over & ok)

    def _calmest(self, images: Tensor, inverses: StepInverses, gaps: Tensor) -> None:
        """Remember the x_T of the smallest gaps (b,), of those that are held."""
        calm = inverses.reached & (gaps < self.least[images])
        self.calm[images[calm]] = inverses.states[calm, 0].unflatten(1, self.calm.shape[1:])
        self.least[images[calm]] = gaps[calm]

    def _settled(self, images: Tensor, over: Tensor) -> Tensor:
        """(b,) bool: which of the images converge, by a check of those whose gaps promise it, `over`."""
        settled = torch.zeros_like(over)
        asked = images[over]
        if len(asked):
            losses = self._check(asked, self.x_T[asked])
            settled[over] = losses <= self.tol
            # An image that fails is asked again once its gaps are as much smaller as its loss has to be.
            self.demand[asked] *= (self.tol / losses).clamp(0.01, 1) / 2
        return settled

    def _check(self, images: Tensor, x_T: Tensor) -> Tensor:
        """(b,) float64: the losses of the sequential chains from x_T."""
        chain = self.chain.select(images)
        losses = loss(reconstruct(chain, x_T), self.target[images]).nan_to_num(float("inf"))
        self.nfe[images.cpu()] += chain.steps
        better = losses < self.losses[images]
        self.losses[images[better]], self.best[images[better]] = losses[better], x_T[better]
        return losses

    def choose(self) -> None:
        """The best x_T that was checked; of images that have not converged the last, the calmest, the given one too."""
        left = (~(self.losses <= self.tol)).nonzero()[:, 0]
        if len(left):
            for x_T in (self.x_T[left], self.calm[left], self.chain.x_T.to(self.target)[left]):
                self._check(left, x_T)
        self.x_T = self.best.clone()

    def polish(self, epochs: int) -> Iterator[Update]:
        """L-BFGS on the images that have not converged."""
        left = ((self.losses > self.tol) & self.losses.isfinite()).nonzero()[:, 0]
        if not len(left):
            return
        chain = replace(self.chain.select(left), x_T=self.x_T[left])
        for number, step in enumerate(lbfgs.invert(chain, self.target[left], epochs=epochs, threshold=self.tol)):
            self.x_T[left] = step.x_T
            if number:
                for count, more in ((self.calls, step.calls), (self.nfe, step.nfe), (self.vjps, step.vjps)):
                    count[left.cpu()] += more
                yield self.update()
        self._check(left, self.x_T[left])
        self.x_T = self.best.clone()
