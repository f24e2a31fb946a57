"""Rounds, evaluations and errors of a sampler, by its own stop and by an oracle that knows the exact x0."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.sampled import Round, Sampled
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim.chains import CALIBRATION
from deqbench.experiments.deq_ddim.comparison.problems import Problem
from deqbench.experiments.rows import Row
from deqbench.metrics.errors import TARGET, relative_error

PATIENCE = 5  # rounds in a row below the target, after which an oracle's run is cut

Options = dict[str, Any]


@dataclass
class Trace:
    """One image's rounds: their numbers, evaluations so far and the error of x0 after each."""

    numbers: list[int] = field(default_factory=list)
    nfe: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, number: int, nfe: int, error: float) -> None:
        """One more round, which took `nfe` evaluations."""
        self.numbers.append(number)
        self.nfe.append(nfe + (self.nfe[-1] if self.nfe else 0))
        self.errors.append(error)

    def right(self) -> tuple[int, int, bool]:
        """The round from which the error stays below TARGET, the evaluations until then, and whether there is one.

        Where there is none: one more than the rounds run, and all evaluations.
        """
        wrong = [at for at, error in enumerate(self.errors) if not error < TARGET]  # NaN is wrong too
        first = wrong[-1] + 1 if wrong else 0
        if first == len(self.errors):
            return self.numbers[-1] + 1, self.nfe[-1], False
        return self.numbers[first], self.nfe[first], True

    def surely_right(self) -> bool:
        """Whether the last PATIENCE rounds were right."""
        last = self.errors[-PATIENCE:]
        return len(last) == PATIENCE and all(error < TARGET for error in last)


class Watch:
    """The `on_round` that traces every image against the exact x0; with `cut` it ends a run when all are right."""

    def __init__(self, exact: Tensor, cut: bool = False) -> None:
        self.exact, self.cut = exact, cut
        self.traces = [Trace() for _ in exact]

    def __call__(self, done: Round) -> bool:
        errors = relative_error(done.x0, self.exact[done.samples])
        for i, nfe, error in zip(done.samples.tolist(), done.nfe.tolist(), errors.tolist(), strict=True):
            self.traces[i].add(done.number, nfe, error)
        return self.cut and all(trace.surely_right() for trace in self.traces)

    @property
    def evaluations(self) -> int:
        """Of all images together."""
        return sum(trace.nfe[-1] for trace in self.traces)


@torch.inference_mode()
def exact(problem: Problem, T: int, images: Sequence[int]) -> Tensor:
    """x0 (n, *dims) of the sequential chains."""
    return sample("sequential", problem.chain(T, images), {}).x0


@torch.inference_mode()
def watched(chain: DDIMChain, eps: NoisePredictor, sampler: str, options: Options, watch: Watch) -> Sampled:
    """The samples that a method makes of the chains, or had reached when the watch cut the run.

    AssertionError: it counts or tells other evaluations than the network saw.
    """
    before = eps.evaluations
    solved = sample(sampler, chain, options, watch)
    seen, counted = eps.evaluations - before, int(solved.nfe.sum())
    if not seen == counted == watch.evaluations:
        raise AssertionError(f"{sampler}: NFE {counted}, told {watch.evaluations}, seen {seen}")
    return solved


@torch.inference_mode()
def measured(
    problem: Problem, T: int, images: Sequence[int], x0: Tensor, sampler: str, options: Options, oracle: Options
) -> tuple[list[Row], list[Row]]:
    """Records of one method, and rows image, round, nfe (in units of T), value (the error of x0) of its traces.

    x0: (n, *dims), exact. oracle: options over the method's own for a second run, whose traces then take the place of
    the first's; without any, the method is right from the round on from which its own run is.
    """
    chain = problem.chain(T, images)
    watch = Watch(x0)
    solved = watched(chain, problem.eps, sampler, options, watch)
    if oracle:
        watch = Watch(x0, cut=True)
        watched(chain, problem.eps, sampler, {**options, **oracle}, watch)
    records, rows = [], []
    errors = relative_error(solved.x0, x0).tolist()
    for i, (image, trace) in enumerate(zip(images, watch.traces, strict=True)):
        number, nfe, reached = trace.right()
        values = {
            "rounds_oracle": (number, "rounds"),
            "nfe_oracle": (nfe / chain.steps, "T"),
            "reached": (float(reached), ""),
            "rounds": (int(solved.rounds[i]), "rounds"),
            "nfe": (int(solved.nfe[i]) / chain.steps, "T"),
            "x0_error": (errors[i], ""),
            "above": (float(not errors[i] < TARGET), ""),
        }
        records += [{"image": image, "metric": key, "value": v, "unit": unit} for key, (v, unit) in values.items()]
        rows += [
            {"image": image, "round": number, "nfe": nfe / chain.steps, "metric": "x0_error", "value": e, "unit": ""}
            for number, nfe, e in zip(trace.numbers, trace.nfe, trace.errors, strict=True)
        ]
    return records, rows


def tune(problem: Problem, T: int, images: int, sampler: str, options: Options, candidates: Sequence[Options]) -> Row:
    """The candidate that `best` picks on calibration images, as options, tried, rounds, x0_error (the worst)."""
    chosen = range(CALIBRATION, CALIBRATION + images)
    x0 = exact(problem, T, chosen)
    tried = []
    for candidate in candidates:
        watch = Watch(x0)
        solved = watched(problem.chain(T, chosen), problem.eps, sampler, {**options, **candidate}, watch)
        errors = relative_error(solved.x0, x0).nan_to_num(float("inf"))
        tried.append((float(solved.rounds.double().mean()), float(errors.max()), int(solved.nfe.sum())))
    at = best(tried)
    rounds, error, _ = tried[at]
    return {"options": candidates[at], "tried": len(tried), "rounds": rounds, "x0_error": error}


def best(tried: Sequence[tuple[float, float, int]]) -> int:
    """The place of the fewest rounds among those of an error below TARGET, or of the smallest error where none is.

    tried: (rounds, worst error, evaluations); evaluations decide between equal rounds.
    """
    right = [at for at, (_, error, _) in enumerate(tried) if error < TARGET]
    if right:
        return min(right, key=lambda at: (tried[at][0], tried[at][2]))
    return min(range(len(tried)), key=lambda at: tried[at][1])
