"""Seconds and bytes of one training step, by the way its derivatives are taken."""

import statistics
from collections.abc import Iterator
from typing import Any

import torch

from deqbench.experiments.deq_score_matching.engines import ways
from deqbench.experiments.deq_score_matching.engines.config import Problem
from deqbench.experiments.deq_score_matching.engines.job import EnginesJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row
from deqbench.measure.clock import in_turns
from deqbench.measure.peaks import peak_bytes
from deqbench.solvers.deq import differentiated


def time(job: EnginesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """step_s of every way on the same batches, in turns, and once more of the fastest stock way."""
    before = torch.get_num_threads()
    torch.set_num_threads(job.engines.threads)
    try:
        rows = [
            {"dataset": name, **row}
            for name, problem in stepped(job.engines.problems.items(), on_step)
            for row in _times(problem, job)
        ]
    finally:
        torch.set_num_threads(before)
    return {"times": rows}


def _times(problem: Problem, job: EnginesJob) -> Iterator[Row]:
    net, spent = ways.model(problem), dict[str, list[float]]()
    for repeat in range(job.engines.repeats):
        x = ways.rows(problem, job.seed + repeat)
        runs = {name: ways.step(net, problem, x, **way) for name, way in _ways(problem).items()}
        if problem.model == "kernel":
            runs["phantom-func"] = ways.func_step(net, x)
        for name, seconds in in_turns(runs, 1).items():
            spent.setdefault(name, []).extend(seconds)
    stock = _fastest(spent)
    for name, seconds in {**spent, ways.FASTEST: spent[stock]}.items():
        note = {"is": stock} if name == ways.FASTEST else {"is": ""}
        for repeat, value in enumerate(seconds):
            yield {"method": name, "seed": repeat, **note, "metric": "step_s", "value": value, "unit": "s"}


def _ways(problem: Problem) -> dict[str, dict[str, Any]]:
    """The ways of a problem: a sliced loss has one direction, so there is nothing to batch."""
    return {name: way for name, way in ways.WAYS.items() if problem.loss == "sm" or way["engine"] != "batched"}


def _fastest(spent: dict[str, list[float]]) -> str:
    known = {name: statistics.median(spent[name]) for name in ways.STOCK if name in spent}
    return min(known, key=lambda name: known[name])


def weigh(job: EnginesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """saved_bytes and peak_bytes of every way, of explicit extractors, and of solves of several lengths."""
    rows: list[Row] = []
    for name, problem in stepped(job.engines.problems.items(), on_step):
        rows += [{"dataset": name, "seed": 0, **row} for row in _weighed(problem, job)]
    return {"bytes": rows}


def _weighed(problem: Problem, job: EnginesJob) -> Iterator[Row]:
    x, net = ways.rows(problem, job.seed), ways.model(problem)
    for name, way in _ways(problem).items():
        yield from _bytes(name, net, ways.step(net, problem, x, **way))
    if problem.model == "kernel":
        for layers in job.engines.layers:
            explicit = ways.model(problem, layers)
            for engine in ("jets", "loop"):
                step = ways.step(explicit, problem, x, engine=engine)
                yield from _bytes(f"layers-{layers}-{engine}", explicit, step)
    for name, way in _ways(problem).items():
        if name in ("exact", "phantom-loop"):
            for count in job.engines.iterations:
                with differentiated(net, tol=0.0, max_iter=count, adjoint_max_iter=count, adjoint_tol=0.0):
                    yield from _bytes(f"{name}-{count}-iterations", net, ways.step(net, problem, x, **way))


def _bytes(name: str, net: torch.nn.Module, step: ways.Step) -> Iterator[Row]:
    step()  # gradients exist from here on
    for kind, value in peak_bytes(step, list(net.parameters())).items():
        yield {"method": name, "metric": f"{kind}_bytes", "value": float(value), "unit": "bytes"}
