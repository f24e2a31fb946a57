"""Seconds and bytes of one training step, by the way its derivatives are taken."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from deqbench.experiments.deq_score_matching.engines import ways
from deqbench.experiments.deq_score_matching.engines.config import Problem
from deqbench.experiments.deq_score_matching.engines.job import EnginesJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row
from deqbench.measure.clock import in_turns
from deqbench.measure.peaks import peak_bytes
from deqbench.solvers.deq import differentiated


def time(job: EnginesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """step_s of every way, in turns, that of the fastest stock way once more under a name of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(job.engines.threads)
    try:
        problems = stepped(job.engines.problems.items(), on_step)
        rows = [row for name, problem in problems for row in _times(name, problem, job)]
        depths = list(_depths(job))
    finally:
        torch.set_num_threads(before)
    return {"times": rows, "depths": depths}


def _times(name: str, problem: Problem, job: EnginesJob) -> Iterator[Row]:
    net, x = ways.model(problem), ways.rows(problem, job.seed)
    spent = in_turns(ways.steps(net, problem, x), job.engines.repeats)
    spent[ways.FASTEST] = spent[ways.fastest(spent)]
    yield from _seconds(spent, **_about(name, problem))


def _about(name: str, problem: Problem) -> dict[str, Any]:
    dimensions = problem.dimensions if problem.model == "kernel" else problem.side**2
    return {"dataset": name, "model": problem.model, "dimensions": dimensions, "batch": problem.batch}


def _depths(job: EnginesJob) -> Iterator[Row]:
    """Steps of the DEQ and of extractors of several layers, by jets and by the loop."""
    problem = job.engines.problems[job.engines.deep]
    deq, x = ways.model(problem), ways.rows(problem, job.seed)
    for layers in job.engines.layers:
        explicit = ways.model(problem, layers)
        runs = {way: ways.step(deq, problem, x, **ways.WAYS[way]) for way in ("exact", "phantom-loop")}
        runs |= {f"explicit-{engine}": ways.step(explicit, problem, x, engine=engine) for engine in ("jets", "loop")}
        yield from _seconds(in_turns(runs, job.engines.repeats), **_about(job.engines.deep, problem), layers=layers)


def _seconds(spent: dict[str, list[float]], **about: Any) -> Iterator[Row]:
    for way, seconds in spent.items():
        for repeat, value in enumerate(seconds):
            yield {**about, "method": way, "seed": repeat, "metric": "step_s", "value": value, "unit": "s"}


def weigh(job: EnginesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """saved_bytes and peak_bytes of every way, of explicit extractors, and of solves of several lengths."""
    rows = []
    for name, problem in stepped(job.engines.problems.items(), on_step):
        x, net = ways.rows(problem, job.seed), ways.model(problem)
        own: list[Row] = []
        for way, options in ways.known(problem).items():
            own += _bytes(net, ways.step(net, problem, x, **options), method=way, **_about(name, problem))
        rows += [*own, *_fewer(own)]
    return {"bytes": rows, "depths": list(_deep_bytes(job)), "solves": list(_solves(job))}


def _fewer(rows: list[Row]) -> Iterator[Row]:
    """How many times fewer bytes each way saves than the stock way that saves the fewest."""
    saved = [row for row in rows if row["metric"] == "saved_bytes"]
    fewest = min(row["value"] for row in saved if row["method"] in ways.STOCK)
    for row in saved:
        yield {**row, "metric": "fewer_bytes", "value": fewest / row["value"], "unit": ""}


def _deep_bytes(job: EnginesJob) -> Iterator[Row]:
    problem = job.engines.problems[job.engines.deep]
    x, about = ways.rows(problem, job.seed), _about(job.engines.deep, problem)
    for layers in job.engines.layers:
        for way in ("exact", "phantom-loop"):
            net = ways.model(problem)
            step = ways.step(net, problem, x, **ways.WAYS[way])
            yield from _bytes(net, step, method=way, layers=layers, **about)
        for engine in ("jets", "loop"):
            net = ways.model(problem, layers)
            step = ways.step(net, problem, x, engine=engine)
            yield from _bytes(net, step, method=f"explicit-{engine}", layers=layers, **about)


def _solves(job: EnginesJob) -> Iterator[Row]:
    """Bytes by how many rounds the forward solve takes, and how they grow from the fewest."""
    problem = job.engines.problems[job.engines.deep]
    x, net = ways.rows(problem, job.seed), ways.model(problem)
    for way in ("exact", "phantom-loop", "unrolled"):
        options, first = ways.WAYS.get(way, {"derivative": way, "engine": "loop"}), dict[str, float]()
        for count in job.engines.iterations:
            with differentiated(net, tol=0.0, max_iter=count):
                step = ways.step(net, problem, x, **options)
                for row in _bytes(net, step, method=way, iterations=count, **_about(job.engines.deep, problem)):
                    yield row
                    least = first.setdefault(row["metric"], row["value"])
                    yield {**row, "metric": f"{row['metric']}_growth", "value": row["value"] / least, "unit": ""}


def _bytes(net: nn.Module, step: ways.Step, **about: Any) -> list[Row]:
    step()  # gradients exist from here on
    weighed = peak_bytes(step, list(net.parameters()))
    rows = {f"{kind}_bytes": float(value) for kind, value in weighed.items()}
    return [{**about, "seed": 0, "metric": name, "value": value, "unit": "bytes"} for name, value in rows.items()]
