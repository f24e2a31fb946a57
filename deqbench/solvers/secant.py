"""Secant sweeps: the linear part of each step is learnt from the rounds themselves, and most rounds evaluate few steps.

A round takes the terms of some steps at the states reached, corrects what it expected of the others by interpolation,
and sweeps the whole system with terms that are linear around these states. Their slopes are scalars, one a step and
sample: from the second round on the secant <dx, dterm> / <dx, dx> of what the last sweep changed and what that did to
the terms. So the change that a sweep makes to early states is carried through to the last one almost as the nonlinear
system would carry it. Where that change turns from step to step, there the steps are evaluated close together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deqbench.solvers.local_slopes import LocalSlopes, knots
from deqbench.solvers.triangular import Swept, TriangularSystem

SAFETY = 2.0  # of the predicted error
INTERPOLATED = 0.1  # share of a state's moves since its step was last evaluated that interpolation gets wrong
STALE = 0.03  # such moves that call for an evaluation
PATIENCE = 2  # rounds in a row that evaluate a few steps only
NEARLY = 1.2  # unsettled steps to a node, so few that all are evaluated
EVEN = 0.5  # share of the nodes that are spread evenly, but for closer ends


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
    place: Tensor | None = None  # steps about 1 apart have like Jacobians; None: no slopes of single elements

    @property
    def reach(self) -> Tensor:
        """(N,) float64."""
        return self.high - self.low


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
    on_round: Callable[[int, Tensor, Tensor, Tensor], None] | None = None,
) -> Swept:
    """Solves the system to a predicted error of `tol` of the last state's length; all states start on the guess's path.

    Most rounds evaluate a few unsettled steps, `nodes` at least: half of them evenly, but closer together at both ends,
    half where the last sweep's change turned, so many that between two of them it turns by no more than about `gap` of
    its greatest length. All unsettled steps are evaluated where those would be nearly all, after PATIENCE such rounds,
    and when the predicted error is below coarse_tol but the states have moved by more than STALE, or than interpolation
    may miss, since they were last evaluated. A state settles when no state before it moves by more than settle_tol
    (tol / 4 if None) of its length. tol 0: every unsettled step in every round, N at most, the sequential result.

    The predicted error is the last move times its ratio to the move before. on_round: as for `sweep`. ValueError:
    nodes < 2, gap <= 0, or tol < 0.
    """
    if nodes < 2 or gap <= 0 or tol < 0:
        raise ValueError(f"expected nodes >= 2, gap > 0 and tol >= 0; found nodes {nodes}, gap {gap} and tol {tol}")
    settle_tol = tol / 4 if settle_tol is None else settle_tol
    weights = None if slopes.place is None else knots(slopes.place).to(system.start)
    paths = [_Path(system, slopes, weights, b, nodes if tol else system.steps) for b in range(len(system.start))]
    rounds = torch.zeros(len(paths), dtype=torch.int64)
    evaluations = torch.zeros(len(paths), dtype=torch.int64)
    limit = system.steps if max_rounds is None else max_rounds
    active = list(range(len(paths)))
    for number in range(1, limit + 1):
        chosen = [paths[b].choose(gap, coarse_tol, tol) for b in active]
        inputs = [paths[b].inputs(steps) for b, steps in zip(active, chosen, strict=True)]
        counts = torch.tensor([len(steps) for steps in chosen])
        together = inputs[0] if len(inputs) == 1 else torch.cat(inputs)
        terms = system.step_terms(together, torch.cat(chosen)).split(counts.tolist())
        for b, steps, found in zip(active, chosen, terms, strict=True):
            paths[b].learn(steps, found)
            paths[b].sweep(tol, settle_tol)
        rounds[active] = number
        evaluations[active] += counts
        if on_round:
            on_round(number, torch.tensor(active), torch.stack([path.whole() for path in paths]), counts)
        active = [b for b in active if not paths[b].done]
        if not active:
            break
    states = torch.stack([path.whole() for path in paths])
    done = torch.tensor([path.done for path in paths])
    return Swept(states, rounds, evaluations, states.flatten(1).isfinite().all(1), done)


class _Path:
    """One sample's states, the terms expected there, and the slopes around them."""

    def __init__(
        self, system: AffineSystem, slopes: Slopes, weights: Tensor | None, sample: int, nodes: int
    ) -> None:
        self.system, self.slopes, self.sample, self.steps = system, slopes, torch.tensor([sample]), system.steps
        self.ratio, self.scale, self.nodes = system.ratio, system.scale, nodes
        start = system.start[sample]
        self.slope = slopes.guess.clone()  # (N,) float64, of the whole step
        self.local = None if weights is None else LocalSlopes(weights, start.numel())
        self.field: Tensor | None = None  # (M, *dims) of every element of the M steps; None: all have their step's
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
        self.last_move, self.predicted, self.done = float("inf"), float("inf"), False
        self.round = self.coarse = 0  # rounds so far, and coarse ones in a row

    def whole(self) -> Tensor:
        """(N, *dims): the states after all steps."""
        self.all[self.settled :] = self.states
        return self.all[1:]

    def choose(self, gap: float, coarse_tol: float, tol: float) -> Tensor:
        """The steps to evaluate, rising."""
        self.round += 1
        rest, turns = self.steps - self.settled, self.turns[self.settled :]
        nodes = max(self.nodes, int(turns.sum() / gap))
        stale = STALE if self.predicted > tol else tol / INTERPOLATED
        near = self.predicted <= coarse_tol and self._drift() > stale
        if rest <= NEARLY * nodes or near or self.coarse >= PATIENCE:
            self.coarse = 0
            return torch.arange(self.settled, self.steps)
        self.coarse += 1
        return torch.from_numpy(self.settled + _spread(turns, nodes))

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
            dterm = found - self.terms[chosen]
            secants = self._secants(chosen, steps, dterm)
            self._learn_local(chosen, steps, dterm)
        if between.exact:
            self.terms = found
        else:
            expected = self._risen(self.terms, self.moved)
            self.terms = expected.add_(between(found - expected[chosen]))
        if secants is not None:
            self.slope[self.settled :] = between(secants)
            self.field = self._field()
        self.drifts[steps.numpy()] = 0.0

    def _secants(self, chosen: Tensor | slice, steps: Tensor, dterm: Tensor) -> Tensor:
        """(K,) slopes of the chosen steps between this round and the last, where the terms were known or expected."""
        # float32 sums are enough: a slope need not be exact
        products = torch.linalg.vecdot(self.moved[chosen].flatten(1), dterm.flatten(1)).double().cpu()
        squares = torch.from_numpy(self.lengths).square()[chosen]
        at = slice(self.settled, None) if isinstance(chosen, slice) else steps  # slices are the quicker index
        slope = self.ratio[at] + self.scale[at] * products / squares.clamp_min(1e-300)
        slope = torch.where(squares > 0, slope, self.slope[at])
        return slope.clamp(self.slopes.low[at], self.slopes.high[at])

    def _learn_local(self, chosen: Tensor | slice, steps: Tensor, dterm: Tensor) -> None:
        if self.local is None:
            return
        reach = self.slopes.reach[steps]
        above = torch.where(reach > 0, (self.ratio - self.slopes.low)[steps] / reach, 0.0).to(dterm)[:, None]
        scale = torch.where(reach > 0, self.scale[steps] / reach, 0.0).to(dterm)[:, None]
        moves = self.moved[chosen].flatten(1)
        self.local.learn(steps, moves, torch.addcmul(scale * dterm.flatten(1), above, moves))

    def _field(self) -> Tensor | None:
        """(M, *dims): the slopes of every element of the steps that are not settled."""
        leans = None if self.local is None else self.local.at(self.settled)
        if leans is None:
            return None
        rest = slice(self.settled, None)
        low, reach = self.slopes.low[rest], self.slopes.reach[rest]
        common = torch.where(reach > 0, (self.slope[rest] - low) / reach, 0.0)
        column = [part.to(leans)[:, None] for part in (common, reach, low)]
        return torch.addcmul(column[2], leans.add_(column[0]).clamp_(0, 1), column[1]).view_as(self.states[:-1])

    def sweep(self, tol: float, settle_tol: float) -> None:
        """The states from the first unsettled one on, and whether more rounds are needed."""
        first, new = self.settled, self._swept()
        change = new - self.states[1:]
        changes = _lengths(change)
        moves = changes / _lengths(new).clip(1e-30)
        self.drifts[first + 1 :] += moves[:-1]
        if self.steps - first > NEARLY * self.nodes:  # else all steps are evaluated from here on
            self.turns[first + 2 :] = _lengths(change.diff(dim=0))[:-1] / max(changes.max(), 1e-30)
        move = float(moves[-1])
        falling = 1.0 if self.last_move == float("inf") else move / self.last_move
        self.predicted = SAFETY * move * min(1.0, falling)
        self.last_move = max(move, 1e-300)
        still = int(((moves <= settle_tol) & (self.drifts[first:] <= settle_tol / INTERPOLATED)).cumprod().sum())
        more = max(still, 1)  # the first one came from a settled state by an evaluated step
        self.all[first + 1 : first + 1 + more] = new[:more]
        self.settled, self.states, self.terms = first + more, new[more - 1 :], self.terms[more:]
        self.moved, self.lengths = change[more - 1 : -1], changes[more - 1 : -1]
        self.field = None if self.field is None else self.field[more:]
        lost = not np.isfinite(move)
        close = self.predicted <= tol and INTERPOLATED * self._drift() <= tol
        self.done = lost or self.settled >= self.steps or (tol > 0 and close)

    def _swept(self) -> Tensor:
        """(M, *dims): the states after the steps that are not settled, by the terms around the states so far."""
        states, terms = self.states[None, :-1], self.terms[None]
        slope = self.slope[None] if self.field is None else self.field[None]
        return self.system.combine(self.states[:1], states, terms, self.settled, slope, self.sample)[0]

    def _risen(self, terms: Tensor, change: Tensor) -> Tensor:
        """The terms of the steps that are not settled after a change of their states."""
        rest = slice(self.settled, None)
        scale, ratio = self.scale[rest], self.ratio[rest]
        if self.field is None:
            slope = _rows(torch.where(scale == 0, 0.0, (self.slope[rest] - ratio) / scale), change)
        else:
            inverse = torch.where(scale == 0, 0.0, 1 / scale)
            slope = (self.field - _rows(ratio, change)).mul_(_rows(inverse, change))
        return torch.addcmul(terms, slope, change)

    def _drift(self) -> float:
        return float(self.drifts[self.settled :].max()) if self.settled < self.steps else 0.0


def _rows(values: Tensor, like: Tensor) -> Tensor:
    """(M,) -> (M, 1, ...) in the dtype and on the device of `like`."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def _spread(turns: np.ndarray, nodes: int) -> np.ndarray:
    """At most `nodes` rising places in range(len(turns)), the first and the last among them."""
    count = len(turns)
    even = np.diff(np.arccos(1 - 2 * np.linspace(0, 1, count + 1)))  # Chebyshev's nodes have this density
    density = EVEN * even / even.sum() + (1 - EVEN) * turns / max(turns.sum(), 1e-30)
    below = np.concatenate([[0.0], density.cumsum()])
    places = np.interp(np.linspace(0, below[-1], nodes), below, np.arange(count + 1))
    return np.unique(places.round().clip(0, count - 1).astype(np.int64))


def _lengths(rows: Tensor) -> np.ndarray:
    """(M, *dims) -> (M,) float64."""
    return torch.linalg.vector_norm(rows.flatten(1), dim=1).double().cpu().numpy()


class Between:
    """Linear interpolation from rising steps to all steps first..last-1; constant beyond the outermost."""

    def __init__(self, steps: Tensor, first: int, last: int) -> None:
        self.exact = len(steps) == last - first
        if self.exact:
            return
        places = torch.arange(first, last)
        self.right = torch.searchsorted(steps, places).clamp(1, max(len(steps) - 1, 1)).clamp_max(len(steps) - 1)
        self.left = (self.right - 1).clamp_min(0)
        width = (steps[self.right] - steps[self.left]).clamp_min(1)
        self.weight = ((places - steps[self.left]).double() / width).clamp(0, 1)

    def __call__(self, values: Tensor) -> Tensor:
        """(K, *dims) -> (M, *dims)."""
        if self.exact:
            return values
        weight = self.weight.to(values).view(-1, *[1] * (values.ndim - 1))
        return values[self.left.to(values.device)].lerp(values[self.right.to(values.device)], weight)
