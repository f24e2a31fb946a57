"""All samplers on the same chains: rounds, evaluations, error and time, by their own stop and by an oracle."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from deqbench import jobs
from deqbench.diffusion import experiments
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.problems import Problem
from deqbench.diffusion.sampled import Round, Sampled
from deqbench.diffusion.samplers import sample
from deqbench.diffusion.tracing import TARGET
from deqbench.metrics.errors import relative_error

PATIENCE = 5  # rounds in a row below the target, after which an oracle's run is cut
CALIBRATION = 10_000  # the first image of those that settings are chosen on

Options = dict[str, Any]
Row = dict[str, Any]


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

    def __call__(self, found: Round) -> bool:
        errors = relative_error(found.x0, self.exact[found.samples])
        for i, nfe, error in zip(found.samples.tolist(), found.nfe.tolist(), errors.tolist(), strict=True):
            self.traces[i].add(found.number, nfe, error)
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
    """What a method makes of the chains, or what it had reached when the watch cut the run.

    AssertionError: it counts or tells other evaluations than the network saw.
    """
    before = eps.evaluations
    found = sample(sampler, chain, options, watch)
    seen, counted = eps.evaluations - before, int(found.nfe.sum())
    if not seen == counted == watch.evaluations:
        raise AssertionError(f"{sampler}: NFE {counted}, told {watch.evaluations}, seen {seen}")
    return found


@torch.inference_mode()
def measure(
    problem: Problem, T: int, images: Sequence[int], x0: Tensor, sampler: str, options: Options, oracle: Options
) -> tuple[list[Row], list[Row]]:
    """Records of one method, and rows image, round, nfe (in units of T), value (the error of x0) of its traces.

    x0: (n, *dims), exact. oracle: options over the method's own for a second run, whose traces then take the place of
    the first's; without any, the method is right from the round on from which its own run is.
    """
    chain = problem.chain(T, images)
    watch = Watch(x0)
    found = watched(chain, problem.eps, sampler, options, watch)
    if oracle:
        watch = Watch(x0, cut=True)
        watched(chain, problem.eps, sampler, {**options, **oracle}, watch)
    records, rows = [], []
    errors = relative_error(found.x0, x0).tolist()
    for i, (image, trace) in enumerate(zip(images, watch.traces, strict=True)):
        number, nfe, reached = trace.right()
        values = {
            "rounds_oracle": (number, "rounds"),
            "nfe_oracle": (nfe / chain.steps, "T"),
            "reached": (float(reached), ""),
            "rounds": (int(found.rounds[i]), "rounds"),
            "nfe": (int(found.nfe[i]) / chain.steps, "T"),
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
        found = watched(problem.chain(T, chosen), problem.eps, sampler, {**options, **candidate}, watch)
        errors = relative_error(found.x0, x0).nan_to_num(float("inf"))
        tried.append((float(found.rounds.double().mean()), float(errors.max()), int(found.nfe.sum())))
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


class Stopwatch:
    """The `on_round` that notes when each round of one image ended, and what it had reached."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seen: list[tuple[float, int, Tensor]] = []
        self.started = self.now()

    def now(self) -> float:
        """Seconds, once the device has done what it was told."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    def __call__(self, found: Round) -> None:
        self.seen.append((self.now() - self.started, found.number, found.x0.clone()))


@torch.inference_mode()
def timed(
    problem: Problem, T: int, image: int, methods: dict[str, tuple[str, Options]]
) -> Iterator[tuple[str, float, list[Row]]]:
    """Method, seconds and trace (round, seconds, value: the error of x0) of one image by each method in turn.

    methods: sampler and options by name; the first of them is the one whose x0 is exact.
    """
    x0 = None
    for name, (sampler, options) in methods.items():
        chain = problem.chain(T, [image])
        watch = Stopwatch(problem.device)
        found = sample(sampler, chain, options, watch)
        seconds = watch.now() - watch.started
        x0 = found.x0 if x0 is None else x0
        errors = relative_error(torch.cat([reached for *_, reached in watch.seen]), x0).tolist()
        about = {"image": image, "metric": "x0_error", "unit": ""}
        yield (
            name,
            seconds,
            [
                {**about, "round": number, "seconds": at, "value": error}
                for (at, number, _), error in zip(watch.seen, errors, strict=True)
            ],
        )


def times(
    problem: Problem,
    job: jobs.TimeComparedJob,
    name: str,
    chosen: dict[tuple[str, int, str], Options],
    on_step: Callable[[int], None] | None = None,
) -> tuple[list[Row], list[Row]]:
    """Records of seconds and traces of every method on one problem, after one image at the smallest T to warm up.

    chosen: options by problem, T and method.
    """
    order = sorted(job.methods, key=lambda method: method != job.baseline)  # stable: the others as in the config
    warm_up = (min(job.images[name]), [CALIBRATION], False)
    plan = [warm_up, *((T, range(images), True) for T, images in job.images[name].items())]
    records, traces = [], []
    done = 0
    for T, images, kept in plan:
        methods = {
            method: (job.methods[method].sampler, jobs.options(job.methods[method]) | chosen.get((name, T, method), {}))
            for method in order
            if method in job.compared[name][T]
        }
        for image in images:
            for method, seconds, rows in timed(problem, T, image, methods):
                if kept:
                    keys = {"method": method, "T": T}
                    records.append({**keys, "image": image, "metric": "time_s", "value": seconds, "unit": "s"})
                    traces += [keys | row for row in rows]
            done += kept
            if on_step and kept:
                on_step(done)
    return records, traces


def compare(
    problem: Problem, job: jobs.CompareJob, on_step: Callable[[int], None] | None = None
) -> tuple[list[Row], list[Row], list[Row]]:
    """Records and traces of every method on one problem, and what was chosen for those with candidates."""
    records, traces, chosen = [], [], []
    groups = [(group, exact(problem, job.T, group)) for group in experiments.groups(range(job.images), job.T)]
    for done, (name, compared) in enumerate(job.compared.items(), start=1):
        method, keys = job.methods[name], {"method": name, "T": job.T}
        options = jobs.options(method)
        if compared.candidates:
            picked = tune(problem, job.T, job.calibration, method.sampler, options, compared.candidates)
            chosen.append({"dataset": job.dataset, **keys, **picked})
            options |= picked["options"]
        for group, x0 in groups:
            found, rows = measure(problem, job.T, group, x0, method.sampler, options, compared.oracle)
            records += [keys | row for row in found]
            traces += [keys | row for row in rows]
        if on_step:
            on_step(done)
    return records, traces, chosen
