"""Secant sweeps: the linear part of each step is learnt from the rounds themselves, and many rounds evaluate few steps.

A step is Phi_j(x) = a_j x + b_j g_j(x) + known, with a costly term g_j; x_j is the state before it. A round takes the
terms of some steps S at the states reached, corrects what it expected of the others by interpolation, and sweeps the
whole system with terms that are linear around these states. In round k, for the N - s steps that are not settled:

(1) d_j = x_j^k - x_j^{k-1}                                              what the last sweep changed
(2) e_j = g'_j^{k-1} + (l_j + D_j - a_j) / b_j d_j                       the terms expected there, from those of k - 1
(3) g'_j^k = e_j + r_j,   r_j = g_j(x_j^k) - e_j                         for j in S; r_j interpolated for the others
(4) l_j = clip(a_j + b_j <d_j, g_j(x_j^k) - g'_j^{k-1}> / <d_j, d_j>)    for j in S; interpolated for the others
(5) x_{j+1}^{k+1} = Phi'_j(x_j^k) + (l_j + D_j) (x_j^{k+1} - x_j^k)      the sweep, Phi'_j with g'_j^k for g_j
(6) m_j = |x_{j+1}^{k+1} - x_{j+1}^k| / |x_{j+1}^{k+1}|                  how far each state moved
(7) error_j = safety m_j min(1, m_j / m_j of the round before)           the error predicted of it

l_j is one slope a step and sample, the secant, held between bounds. D_j is the deviation of the block-diagonal Jacobian
from it, one number a group of elements, where such deviations hold good from round to round
(deqbench.solvers.local_slopes). So the change that a sweep makes to early states is carried through to the last one
almost as the nonlinear system would carry it. Where that change turns from step to step, there the steps are evaluated
close together (deqbench.solvers.nodes).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deqbench.solvers.local_slopes import Knots, LocalSlopes
from deqbench.solvers.nodes import Between, Forecast, Settings, rows
from deqbench.solvers.triangular import SystemRound, TriangularSystem


class AffineSystem(TriangularSystem, Protocol):
    """A triangular system Phi_j(x) = ratio_j x + scale_j term_j(x) + known."""

    @property
    def ratio(self) -> Tensor:
        """(N,) float64."""

    @property
    def scale(self) -> Tensor:
        """(N,) float64."""


@dataclass(frozen=True)
class Slopes:
    """The knowledge beforehand of the l_j = dPhi_j/dx, each (N,) float64: a first guess, and bounds."""

    guess: Tensor
    low: Tensor
    high: Tensor
    place: Tensor | None = None  # for slopes of groups of elements, see Knots; None: there are none
    apart: int | None = None  # leading dimensions of a state that tell groups apart; None: all, each element is one


def secant_sweeps(
    system: AffineSystem,
    slopes: Slopes,
    *,
    tol: float,
    nodes: int,
    gap: float = 0.03,
    coarse_tol: float = 0.05,
    settle_tol: float | None = None,
    max_rounds: int | None = None,
) -> Iterator[SystemRound]:
    """Solves the system to a predicted error of `tol` of the last state's length; all states start on the guess's path.

    Every other round evaluates a few unsettled steps, `nodes` at least: half of them evenly, but closer together at
    both ends, half where the last sweep's change turned, so many that between two of them it turns by no more than
    about `gap` of its greatest length. The rounds between evaluate, besides such nodes, all steps up to the first whose
    state is predicted to be off. So does a round after the predicted error fell below coarse_tol, if the states have
    moved by much since they were last evaluated. All unsettled steps are evaluated where the nodes would be nearly all.
    A state settles when no state before it moves by more than settle_tol (tol / 4 if None) of its length. tol 0: every
    unsettled step in every round, N at most, the sequential result. See Settings for what is much, off and nearly.

    ValueError: nodes < 2, gap <= 0, or tol < 0.
    """
    if nodes < 2 or gap <= 0 or tol < 0:
        raise ValueError(f"expected nodes >= 2, gap > 0 and tol >= 0; found nodes {nodes}, gap {gap} and tol {tol}")
    least = nodes if tol else system.steps
    settings = Settings(tol, least, gap, coarse_tol, tol / 4 if settle_tol is None else settle_tol)
    knots = None if slopes.place is None else _knots(system, slopes, slopes.place)
    paths = active = [Path(system, slopes, knots, b, settings) for b in range(len(system.start))]
    for _ in range(system.steps if max_rounds is None else max_rounds):
        chosen = [path.choose() for path in active]
        inputs = [path.inputs(steps) for path, steps in zip(active, chosen, strict=True)]
        counts = [len(steps) for steps in chosen]
        together = inputs[0] if len(inputs) == 1 else torch.cat(inputs)
        terms = system.step_terms(together, torch.cat(chosen)).split(counts)
        for path, steps, new in zip(active, chosen, terms, strict=True):
            path.learn(steps, new)
            path.sweep()
        yield SystemRound(
            samples=torch.cat([path.sample for path in active]),
            settled=np.array([path.done for path in active]),
            nfe=torch.tensor(counts),
            reached=torch.stack([path.states[-1] for path in active]),
            states=lambda: torch.stack([path.whole() for path in paths]),
        )
        active = [path for path in active if not path.done]
        if not active:
            return


def _knots(system: AffineSystem, slopes: Slopes, place: Tensor) -> Knots:
    reach = slopes.high - slopes.low
    shares = reach.clamp_min(1e-300)
    by_state, by_term = (system.ratio - slopes.low) / shares, system.scale / shares
    return Knots.of(place, *(column.to(system.start) for column in (reach, by_state, by_term)))


@dataclass
class Linear:
    """The linear terms around the states of the M steps that are not settled."""

    slope: Tensor  # (N,) float64, l of every step
    terms: Tensor  # (M, *dims), g' of equation 3
    moved: Tensor  # (M, *dims), d of equation 1: what the last sweep has changed since these terms
    lengths: np.ndarray  # (M,) float64, of that
    deviation: Tensor | None = None  # (L, *groups), D of the last L steps; None: 0


class Path:
    """One sample's states, and the linear terms around them."""

    def __init__(
        self, system: AffineSystem, slopes: Slopes, knots: Knots | None, sample: int, settings: Settings
    ) -> None:
        self.system, self.slopes, self.settings = system, slopes, settings
        self.sample, self.steps = torch.tensor([sample]), system.steps
        self.ratio, self.scale, start = system.ratio, system.scale, system.start[sample]
        leading = start.shape[: slopes.apart]
        self.groups = *leading, *[1] * (start.ndim - len(leading))
        self.local = None if knots is None else LocalSlopes(knots, leading.numel())
        self.forecast, self.done = Forecast.blank(system.steps), False
        self.all = start.expand(self.steps + 1, *start.shape).clone()  # (N + 1, *dims), final as far as `settled`
        self.settled, self.states = 0, self.all  # the last final state and the M after it, (M + 1, *dims)
        here = self.states[:-1]
        self.linear = Linear(slopes.guess.clone(), torch.zeros_like(here), here, np.zeros(self.steps))
        self.linear.terms = self.expected()
        self.states = torch.cat([start[None], self._swept()])
        self.linear.moved = self.states[:-1] - start
        self.linear.lengths = _lengths(self.linear.moved)

    def whole(self) -> Tensor:
        """(N, *dims): the states after all steps."""
        self.all[self.settled :] = self.states
        return self.all[1:]

    def choose(self) -> Tensor:
        """The steps to evaluate, rising."""
        return torch.from_numpy(self.forecast.choose(self.settled, self.settings))

    def inputs(self, steps: Tensor) -> Tensor:
        """The states before the steps; a view where they are all that are not settled."""
        return self.states[:-1][self._places(steps)]

    def _places(self, steps: Tensor) -> Tensor | slice:
        return slice(None) if len(steps) == self.steps - self.settled else steps - self.settled

    def learn(self, steps: Tensor, new: Tensor) -> None:
        """Corrects the expected terms and the slopes by the terms (K, *dims) of some steps: equations 2 to 4."""
        linear, between = self.linear, Between(steps, self.settled, self.steps)
        chosen = self._places(steps)
        secants = None
        if self.forecast.rounds > 1:
            moved, dterm = linear.moved[chosen].flatten(1), (new - linear.terms[chosen]).flatten(1)
            secants = self._secants(chosen, steps, moved, dterm)
            if self.local is not None:
                self.local.learn(steps, moved, dterm)
        if between.exact:
            linear.terms = new
        else:
            expected = self.expected()
            linear.terms = expected.add_(between(new - expected[chosen]))
        if secants is not None:
            linear.slope[self.settled :] = between(secants)
            deviation = None if self.local is None else self.local.at(self.settled)
            linear.deviation = None if deviation is None else deviation.unflatten(1, self.groups)
        self.forecast.drifts[steps.numpy()] = 0.0

    def _secants(self, chosen: Tensor | slice, steps: Tensor, moved: Tensor, dterm: Tensor) -> Tensor:
        """(K,) slopes of the chosen steps between this round and the last, where the terms were known or expected.

        moved, dterm: (K, E), of the states before them and of their terms. Equation 4.
        """
        # float32 sums are enough: a slope need not be exact
        products = torch.linalg.vecdot(moved, dterm).double().cpu()
        squares = torch.from_numpy(self.linear.lengths).square()[chosen]
        at = slice(self.settled, None) if isinstance(chosen, slice) else steps  # slices are the quicker index
        slope = self.ratio[at] + self.scale[at] * products / squares.clamp_min(1e-300)
        slope = torch.where(squares > 0, slope, self.linear.slope[at])
        return slope.clamp(self.slopes.low[at], self.slopes.high[at])

    def sweep(self) -> None:
        """The states from the first unsettled one on, and whether more rounds are needed: equations 5 to 7."""
        first, new = self.settled, self._swept()
        change = new - self.states[1:]
        changes = _lengths(change)
        self.forecast.moved(first, changes / _lengths(new).clip(1e-30), self.settings)
        if not self.settings.takes_all(self.steps - first):
            self.forecast.turns[first + 2 :] = _lengths(change.diff(dim=0))[:-1] / max(changes.max(), 1e-30)
        more = max(self.forecast.still(first, self.settings), 1)  # the first came from a settled state by a known step
        self.all[first + 1 : first + 1 + more] = new[:more]
        self.settled, self.states, linear = first + more, new[more - 1 :], self.linear
        linear.terms, linear.moved = linear.terms[more:], change[more - 1 : -1]
        linear.lengths = changes[more - 1 : -1]
        if linear.deviation is not None:
            linear.deviation = linear.deviation[max(len(linear.deviation) - len(linear.terms), 0) :]
        self.done = self.settled >= self.steps or self.forecast.over(self.settled, self.settings)

    def _swept(self) -> Tensor:
        """(M, *dims): the states after the steps that are not settled, by the terms around the states so far."""
        slope, deviation = self.linear.slope, self.linear.deviation
        if deviation is None:
            return self._combined(slice(None), self.states[:1], slope)
        apart = len(self.linear.terms) - len(deviation)
        slopes = deviation + rows(slope[-len(deviation) :], deviation)
        if not apart:
            return self._combined(slice(None), self.states[:1], slopes)
        head = self._combined(slice(apart), self.states[:1], slope)
        return torch.cat([head, self._combined(slice(apart, None), head[-1:], slopes)])

    def _combined(self, part: slice, base: Tensor, slope: Tensor) -> Tensor:
        """The states after some of the M steps, swept from `base`, (1, *dims)."""
        states, terms = self.states[None, :-1][:, part], self.linear.terms[None, part]
        first = self.settled + (part.start or 0)
        return self.system.combine(base, states, terms, first, slope[None], self.sample)[0]

    def expected(self) -> Tensor:
        """The terms (M, *dims) of the steps that are not settled after the last sweep's change: equation 2."""
        linear, rest = self.linear, slice(self.settled, None)
        inverse = torch.where(self.scale[rest] == 0, 0.0, 1 / self.scale[rest])
        change, per_state = linear.moved, (linear.slope[rest] - self.ratio[rest]) * inverse
        expected = torch.addcmul(linear.terms, rows(per_state, change), change)
        if linear.deviation is not None:
            last = slice(len(linear.terms) - len(linear.deviation), None)
            expected[last].addcmul_(linear.deviation, change[last] * rows(inverse[last], change))
        return expected


def _lengths(states: Tensor) -> np.ndarray:
    """(M, *dims) -> (M,) float64."""
    return torch.linalg.vector_norm(states.flatten(1), dim=1).double().cpu().numpy()
