"""All samplers on the same chains: rounds, evaluations and errors of one problem, and the times on all."""

from collections.abc import Iterator
from typing import Any

import torch

from deqbench.data import checkpoints, datasets
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim import chains
from deqbench.experiments.deq_ddim.chains import CALIBRATION
from deqbench.experiments.deq_ddim.comparison import problems
from deqbench.experiments.deq_ddim.comparison.job import MeasureJob, TimeJob
from deqbench.experiments.deq_ddim.comparison.oracle import Options, Row, exact, measured, tune
from deqbench.experiments.deq_ddim.comparison.problems import Problem
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.measure.clock import Stopwatch
from deqbench.metrics.errors import relative_error
from deqbench.records import read_json


def _problem(name: str, grid: str, job: Any, files: Files) -> Problem:
    """The network's chains where there is a checkpoint of that name, otherwise analytic ones."""
    place = (grid, job.device, job.max_batch, job.seed)
    if any(folder.stem == name for folder in files.all("weights")):
        network, data = checkpoints.load(files.of("weights", name)), datasets.load(files.of("dataset", name))
        return problems.of_network(network, *place, data.train)
    return problems.of_mixture(name, *place)


def measure(job: MeasureJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Every method on one problem: candidates tried, its own stop, and the round after which it is right."""
    records, traces, chosen = compare(_problem(job.dataset, job.grid, job, files), job, on_step)
    return {"records": records, "traces": traces, "chosen": chosen}


def time(job: TimeJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds of one image by each method on each problem (records), and after each round (traces)."""
    chosen = {
        (row["dataset"], row["T"], row["method"]): row["options"]
        for path in files.all("chosen")
        for row in read_json(path)
    }
    records: list[Row] = []
    traces: list[Row] = []
    done, total = 0, sum(sum(images.values()) for images in job.images.values())
    for name in job.images:
        for told in times(_problem(name, job.grids[name], job, files), job, name, chosen):
            for rows, more in zip((records, traces), told, strict=True):
                rows += [{"dataset": name, **row} for row in more]
            done += 1
            on_step(done, total)
    return {"records": records, "traces": traces}


def compare(problem: Problem, job: MeasureJob, on_step: OnStep) -> tuple[list[Row], list[Row], list[Row]]:
    """Records and traces of every method on one problem, and what was chosen for those with candidates."""
    records, traces, chosen = [], [], []
    groups = [(group, exact(problem, job.T, group)) for group in chains.groups(range(job.images), job.T)]
    for name, entry in stepped(job.methods.items(), on_step):
        method, compared, keys = entry.method, entry.compared, {"method": name, "T": job.T}
        options = method.options
        if compared.candidates:
            picked = tune(problem, job.T, job.calibration, method.sampler, options, compared.candidates)
            chosen.append({"dataset": job.dataset, **keys, **picked})
            options = options | picked["options"]
        for group, x0 in groups:
            told, rows = measured(problem, job.T, group, x0, method.sampler, options, compared.oracle)
            records += [keys | row for row in told]
            traces += [keys | row for row in rows]
    return records, traces, chosen


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
        watch = Stopwatch(problem.device, lambda done: (done.number, done.x0.clone()))
        solved = sample(sampler, chain, options, watch)
        seconds = watch.seconds()
        x0 = solved.x0 if x0 is None else x0
        errors = relative_error(torch.cat([reached for _, (_, reached) in watch.told]), x0).tolist()
        about = {"image": image, "metric": "x0_error", "unit": ""}
        rows = [
            {**about, "round": number, "seconds": at, "value": error}
            for (at, (number, _)), error in zip(watch.told, errors, strict=True)
        ]
        yield name, seconds, rows


def times(
    problem: Problem, job: TimeJob, name: str, chosen: dict[tuple[str, int, str], Options]
) -> Iterator[tuple[list[Row], list[Row]]]:
    """By image: records of seconds and traces of every method, after one image at the smallest T to warm up.

    chosen: options by problem, T and method.
    """
    order = sorted(job.methods, key=lambda method: method != job.baseline)  # stable: the others as in the config
    warm_up = (min(job.images[name]), [CALIBRATION], False)
    plan = [warm_up, *((T, range(images), True) for T, images in job.images[name].items())]
    for T, images, kept in plan:
        methods = {
            method: (job.methods[method].sampler, job.methods[method].options | chosen.get((name, T, method), {}))
            for method in order
            if method in job.compared[name][T]
        }
        for image in images:
            records, traces = [], []
            for method, seconds, rows in timed(problem, T, image, methods):
                keys = {"method": method, "T": T}
                records.append({**keys, "image": image, "metric": "time_s", "value": seconds, "unit": "s"})
                traces += [keys | row for row in rows]
            if kept:
                yield records, traces
