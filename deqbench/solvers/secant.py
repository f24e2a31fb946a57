"""Secant sweeps: the linear part of each step is learnt from the rounds themselves, and many rounds evaluate few steps.

A round takes the terms of some steps at the states reached, corrects what it expected of the others by interpolation,
and sweeps the whole system with terms that are linear around these states. Their slopes are scalars, one a step and
sample: from the second round on the secant <dx, dterm> / <dx, dx> of what the last sweep changed and what that did to
the terms. Where groups of elements have slopes of their own that hold good from round to round, those are added
(`deqbench.solvers.local_slopes`). So the change that a sweep makes to early states is carried through to the last one
almost as the nonlinear system would carry it. Where that change turns from step to step, there the steps are evaluated
close together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deqbench.solvers.local_slopes import Knots, LocalSlopes
from deqbench.solvers.nodes import Between, rows, spread
from deqbench.solvers.triangular import SystemRound, TriangularSystem

SAFETY = 2.0  # of the predicted error
INTERPOLATED = 0.1  # share of a state's moves since its step was last evaluated that interpolation gets wrong
STALE = 0.03  # such moves that call for an evaluation
FORESEEN = 0.25  # predicted error of a state that makes its step worth an evaluation in a full round
NEARLY = 1.2  # unsettled steps to a node, so few that all are evaluated


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
    """What is known beforehand of the l_j = dPhi_j/dx, each (N,) float64: a first guess, and bounds."""

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
    state is predicted to be off by more than FORESEEN. So does a round after the predicted error fell below coarse_tol,
    if the states have moved by more than STALE, or than interpolation may miss, since they were last evaluated. All
    unsettled steps are evaluated where the nodes would be nearly all. A state settles when no state before it moves by
    more than settle_tol (tol / 4 if None) of its length. tol 0: every unsettled step in every round, N at most, the
    sequential result.

    The predicted error is the last move times its ratio to the move before. ValueError: nodes < 2, gap <= 0, or
    tol < 0.
    """
    if nodes < 2 or gap <= 0 or tol < 0:
        raise ValueError(f"expected nodes >= 2, gap > 0 and tol >= 0; found nodes {nodes}, gap {gap} and tol {tol}")
    settle_tol = tol / 4 if settle_tol is None else settle_tol
    knots = None if slopes.place is None else _knots(system, slopes, slopes.place)
    paths = [_Path(system, slopes, knots, b, nodes if tol else system.steps) for b in range(len(system.start))]
    active = paths
    for _ in range(system.steps if max_rounds is None else max_rounds):
        chosen = [path.choose(gap, coarse_tol, tol) for path in active]
        inputs = [path.inputs(steps) for path, steps in zip(active, chosen, strict=True)]
        counts = [len(steps) for steps in chosen]
        together = inputs[0] if len(inputs) == 1 else torch.cat(inputs)
        terms = system.step_terms(together, torch.cat(chosen)).split(counts)
        for path, steps, found in zip(active, chosen, terms, strict=True):
            path.learn(steps, found)
            path.sweep(tol, settle_tol)
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


class _Path:
    """One sample's states, the terms expected there, and the slopes around them."""

    def __init__(self, system: AffineSystem, slopes: Slopes, knots: Knots | None, sample: int, nodes: int) -> None:
        self.system, self.slopes, self.sample, self.steps = system, slopes, torch.tensor([sample]), system.steps
        self.ratio, self.scale, self.nodes = system.ratio, system.scale, nodes
        start = system.start[sample]
        self.slope = slopes.guess.clone()  # (N,) float64, of the whole step
        leading = start.shape[: slopes.apart]
        self.groups = *leading, *[1] * (start.ndim - len(leading))
        self.local = None if knots is None else LocalSlopes(knots, leading.numel())
        self.lean: Tensor | None = None  # (L, *groups), what the groups' slopes of the last L steps have beyond it
        self.all = start.expand(self.steps + 1, *start.shape).clone()  # (N + 1, *dims), final as far as `settled`
        self.settled, self.states = 0, self.all  # the last final state and the M after it, (M + 1, *dims)
        self.drifts = np.full(self.steps, np.inf)  # how far a step's state moved since it was evaluated, relative
        self.turns = np.zeros(self.steps)  # a state's last change less its neighbour's, relative to the greatest
        # Of the M steps that are not settled: the terms last known or expected, (M, *dims), how far their states have
        # moved since, and the lengths of that. The terms expected now follow from them.
        self.terms = self._risen(torch.zeros_like(self.states[:-1]), self.states[:-1])
        self.states = torch.cat([start[None], self._swept()])
        self.moved = self.states[:-1] - start
        self.lengths = _lengths(self.moved)
        self.moves = np.full(self.steps, np.nan)  # of the states after the steps in the last sweep, relative
        self.left = np.full(self.steps, np.inf)  # predicted errors of the states before the steps, rising
        self.predicted, self.done = float("inf"), False  # of the last state
        self.round, self.coarse = 0, False  # rounds so far; whether the last one took nodes only

    def whole(self) -> Tensor:
        """(N, *dims): the states after all steps."""
        self.all[self.settled :] = self.states
        return self.all[1:]

    def choose(self, gap: float, coarse_tol: float, tol: float) -> Tensor:
        """The steps to evaluate, rising."""
        self.round += 1
        rest, turns = self.steps - self.settled, self.turns[self.settled :]
        nodes = max(self.nodes, int(turns.sum() / gap))
        if rest <= NEARLY * nodes:
            self.coarse = False
            return torch.arange(self.settled, self.steps)
        picked = np.zeros(rest, dtype=bool)
        picked[spread(turns, nodes)] = True
        stale = STALE if self.predicted > tol else tol / INTERPOLATED
        near = self.predicted <= coarse_tol and self._drift() > stale
        self.coarse = not (near or self.coarse)
        if not self.coarse:
            picked[: np.searchsorted(self.left[self.settled :], FORESEEN, "right")] = True
        return torch.from_numpy(self.settled + picked.nonzero()[0])

    def inputs(self, steps: Tensor) -> Tensor:
        """The states before the steps; a view where they are all that are not settled."""
        return self.states[:-1][self._places(steps)]

    def _places(self, steps: Tensor) -> Tensor | slice:
        return slice(None) if len(steps) == self.steps - self.settled else steps - self.settled

    def learn(self, steps: Tensor, found: Tensor) -> None:
        """Corrects the expected terms and the slopes by what was found at some steps."""
        between = Between(steps, self.settled, self.steps)
        chosen = self._places(steps)
        secants = None
        if self.round > 1:
            moved, dterm = self.moved[chosen].flatten(1), (found - self.terms[chosen]).flatten(1)
            secants = self._secants(chosen, steps, moved, dterm)
            if self.local is not None:
                self.local.learn(steps, moved, dterm)
        if between.exact:
            self.terms = found
        else:
            expected = self._risen(self.terms, self.moved)
            self.terms = expected.add_(between(found - expected[chosen]))
        if secants is not None:
            self.slope[self.settled :] = between(secants)
            self.lean = self._lean()
        self.drifts[steps.numpy()] = 0.0

    def _secants(self, chosen: Tensor | slice, steps: Tensor, moved: Tensor, dterm: Tensor) -> Tensor:
        """(K,) slopes of the chosen steps between this round and the last, where the terms were known or expected.

        moved, dterm: (K, E), of the states before them and of their terms.
        """
        # float32 sums are enough: a slope need not be exact
        products = torch.linalg.vecdot(moved, dterm).double().cpu()
        squares = torch.from_numpy(self.lengths).square()[chosen]
        at = slice(self.settled, None) if isinstance(chosen, slice) else steps  # slices are the quicker index
        slope = self.ratio[at] + self.scale[at] * products / squares.clamp_min(1e-300)
        slope = torch.where(squares > 0, slope, self.slope[at])
        return slope.clamp(self.slopes.low[at], self.slopes.high[at])

    def _lean(self) -> Tensor | None:
        found = None if self.local is None else self.local.at(self.settled)
        return None if found is None else found.unflatten(1, self.groups)

    def sweep(self, tol: float, settle_tol: float) -> None:
        """The states from the first unsettled one on, and whether more rounds are needed."""
        first, new = self.settled, self._swept()
        change = new - self.states[1:]
        changes = _lengths(change)
        moves = changes / _lengths(new).clip(1e-30)
        self.drifts[first + 1 :] += moves[:-1]
        if self.steps - first > NEARLY * self.nodes:  # else all steps are evaluated from here on
            self.turns[first + 2 :] = _lengths(change.diff(dim=0))[:-1] / max(changes.max(), 1e-30)
        before = np.where(np.isnan(self.moves[first:]), moves, self.moves[first:])
        errors = SAFETY * moves * np.minimum(1.0, moves / before.clip(1e-300))
        self.left[first] = 0.0
        self.left[first + 1 :] = np.maximum.accumulate(errors)[:-1]
        self.moves[first:], self.predicted = moves, float(errors[-1])
        still = int(((moves <= settle_tol) & (self.drifts[first:] <= settle_tol / INTERPOLATED)).cumprod().sum())
        more = max(still, 1)  # the first one came from a settled state by an evaluated step
        self.all[first + 1 : first + 1 + more] = new[:more]
        self.settled, self.states, self.terms = first + more, new[more - 1 :], self.terms[more:]
        self.moved, self.lengths = change[more - 1 : -1], changes[more - 1 : -1]
        if self.lean is not None:
            self.lean = self.lean[max(len(self.lean) - len(self.terms), 0) :]
        lost = not np.isfinite(moves[-1])
        close = self.predicted <= tol and INTERPOLATED * self._drift() <= tol
        self.done = lost or self.settled >= self.steps or (tol > 0 and close)

    def _swept(self) -> Tensor:
        """(M, *dims): the states after the steps that are not settled, by the terms around the states so far."""
        if self.lean is None:
            return self._combined(slice(None), self.states[:1], self.slope)
        apart = len(self.terms) - len(self.lean)
        slopes = self.lean + rows(self.slope[-len(self.lean) :], self.lean)
        if not apart:
            return self._combined(slice(None), self.states[:1], slopes)
        head = self._combined(slice(apart), self.states[:1], self.slope)
        return torch.cat([head, self._combined(slice(apart, None), head[-1:], slopes)])

    def _combined(self, part: slice, base: Tensor, slope: Tensor) -> Tensor:
        """The states after some of the M steps, swept from `base`, (1, *dims)."""
        states, terms = self.states[None, :-1][:, part], self.terms[None, part]
        first = self.settled + (part.start or 0)
        return self.system.combine(base, states, terms, first, slope[None], self.sample)[0]

    def _risen(self, terms: Tensor, change: Tensor) -> Tensor:
        """The terms of the steps that are not settled after a change of their states."""
        rest = slice(self.settled, None)
        inverse = torch.where(self.scale[rest] == 0, 0.0, 1 / self.scale[rest])
        risen = torch.addcmul(terms, rows((self.slope[rest] - self.ratio[rest]) * inverse, change), change)
        if self.lean is not None:
            last = slice(len(terms) - len(self.lean), None)
            risen[last].addcmul_(self.lean, change[last] * rows(inverse[last], change))
        return risen

    def _drift(self) -> float:
        return float(self.drifts[self.settled :].max()) if self.settled < self.steps else 0.0


def _lengths(rows: Tensor) -> np.ndarray:
    """(M, *dims) -> (M,) float64."""
    return torch.linalg.vector_norm(rows.flatten(1), dim=1).double().cpu().numpy()
