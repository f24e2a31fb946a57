"""DEQ-DDIM and sequential sampling: images, their scores, times, traces of the joint solve, and latents.

Each command imports what it alone needs: a job is a process, and drawing images must not wait for data frames.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors import safe_open

from deqbench import jobs, provenance
from deqbench.config import Method, parse_job
from deqbench.measure.progress import steps_bar
from deqbench.records import write_frame, write_records, write_tensors

app = typer.Typer(no_args_is_help=True)
ORACLE_IMAGES = 4

Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Weights = Annotated[Path, typer.Option(help="folder of the checkpoint, in diffusers' format")]
Out = Annotated[Path, typer.Option(help="file to write")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]


def _add(on_step: Callable[..., None], before: int, done: int) -> None:
    on_step(before + done)


def _key(name: str, method: Method, T: int) -> str:
    """What the tensors of one method's images at one T begin with."""
    return f"{name}/eta{method.eta:g}/T{T}/"


def _records(paper_rows: list[dict[str, Any]], experiment: str, dataset: str) -> list[dict[str, Any]]:
    return [jobs.record(experiment, dataset, row) for row in paper_rows]


@app.command()
def draw(
    name: Annotated[str, typer.Argument(help="what the job is called: mostly the one method that it draws")],
    settings: Settings,
    weights: Weights,
    out: Out,
    threads: Threads = 0,
) -> None:
    """One shard of images at every T and eta: x0 (n, C, H, W) float32, rounds, nfe, diverged, diffusers' x0."""
    from deqbench.data import checkpoints
    from deqbench.diffusion import experiments

    job = parse_job(jobs.Draw, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, f"sampling draw {name}", job.model_dump(), job.device):
        network = checkpoints.load(weights)
        images = jobs.shard_images(job.scores.images, job.scores.shards, job.shard)
        tensors: dict[str, torch.Tensor] = {}
        every = [pair for methods in jobs.at_each(job.methods, job.eta) for pair in methods.items()]
        chains = [(_key(*pair, T), pair[1], T) for T in job.scores.T for pair in every]
        with steps_bar(f"{name} on {job.dataset}", len(images) * len(chains)) as on_step:
            for place, (key, method, T) in enumerate(chains):
                drawn = experiments.draw(network, job, method, T, partial(_add, on_step, place * len(images)))
                if job.shard == 0 and job.grid == "uniform-released":
                    first = images[:ORACLE_IMAGES]
                    drawn["diffusers"] = experiments.diffusers_walk(network, method, job.grid, T, job.seed, first)
                tensors |= {key + kind: tensor for kind, tensor in drawn.items()}
        write_tensors(out, tensors)


def read_drawn(paths: list[Path], start: str) -> dict[str, torch.Tensor]:
    """The tensors whose keys start so, shards in the order given: x0, rounds, nfe, diverged, diffusers where made."""
    parts: dict[str, list[torch.Tensor]] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (no dict)
                if key.startswith(start):
                    parts.setdefault(key.removeprefix(start), []).append(file.get_tensor(key))
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


@app.command()
def score(
    drawn: Annotated[list[Path], typer.Argument(help="the files of drawn images, as <job>/<shard>.safetensors")],
    settings: Settings,
    dataset: Annotated[Path, typer.Option(help="the data set's file")],
    statistics: Annotated[Path, typer.Option(help="the data set's features")],
    out: Out,
    threads: Threads = 0,
) -> None:
    """Scores of every method's images, paired with the baseline's, real images and a spoilt control beside them."""
    from deqbench.data import datasets
    from deqbench.metrics import scores

    job = parse_job(jobs.Score, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, "sampling score", job.model_dump(), job.device):
        reference = scores.Reference.load(statistics, datasets.load(dataset), job.extractor)
        rows = []
        for T in job.T:
            for eta, methods in zip(job.eta or [None], jobs.at_each(job.methods, job.eta), strict=True):
                images = {name: read_drawn(sorted(drawn), _key(name, method, T)) for name, method in methods.items()}
                scored = scores.table(images, job.model_copy(update={"methods": methods}), reference)
                rows += [{**_group(T, eta), **row} for row in scored]
        write_records(out, _records(rows, job.experiment, job.dataset))


def _group(T: int, eta: float | None) -> dict[str, float]:
    """The keys of what was measured at this T and, where methods are walked at several, this eta."""
    return {"T": T} if eta is None else {"T": T, "eta": eta}


@app.command()
def time(
    weights: Annotated[list[Path], typer.Option(help="the data sets' checkpoints, in the order of the settings")],
    settings: Settings,
    out: Out,
    threads: Threads = 0,
) -> None:
    """Seconds of one image per method and T, the methods interleaved; wants the machine to itself."""
    import pandas as pd

    from deqbench.data import checkpoints
    from deqbench.diffusion import experiments

    job = parse_job(jobs.Time, settings)
    provenance.set_threads(threads)
    rows: list[dict[str, Any]] = []
    with provenance.recorded(out, "sampling time", job.model_dump(), job.device):
        for (name, times), folder in zip(job.times.items(), weights, strict=True):
            network, etas = checkpoints.load(folder), job.eta[name]
            walked = list(zip(etas or [None], jobs.at_each(job.methods, etas), strict=True))
            with steps_bar(f"times on {name}", len(times.T) * len(walked)) as on_step:
                for place, (T, (eta, methods)) in enumerate(product(times.T, walked), start=1):
                    for run in experiments.timed(network, job, methods, name, T):
                        keys = {"method": run["method"], **_group(T, eta), "image": run["image"]}
                        rows += _records([keys | m for m in _timed_metrics(run)], job.experiment, name)
                    on_step(place)
        write_records(out, pd.DataFrame(rows).dropna(subset=["value"]))


def _timed_metrics(run: dict[str, Any]) -> list[dict[str, Any]]:
    units = {"time_s": "s", "rounds": "rounds", "nfe": "evaluations", "x0_error": ""}
    return [
        {"metric": f"timed_{name}" if name != "time_s" else name, "value": run[name], "unit": unit}
        for name, unit in units.items()
    ]


@app.command()
def trace(settings: Settings, weights: Weights, out: Out, summary: Out, threads: Threads = 0) -> None:
    """Residual and x0 error of the joint solve after each round, per image (Parquet), and what they come to (CSV)."""
    import pandas as pd

    from deqbench.data import checkpoints
    from deqbench.diffusion import tracing

    job = parse_job(jobs.TraceJob, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, "sampling trace", job.model_dump(), job.device):
        network = checkpoints.load(weights)
        chains = tracing.chains(job)
        parts = []
        with steps_bar(f"traces on {job.dataset}", len(chains)) as on_step:
            for place, (name, traced, T) in enumerate(chains, start=1):
                part = tracing.trace(network, job, traced, T)
                parts.append(part.assign(method=name, eta=traced.method.eta, T=T))
                on_step(place)
        traces = pd.concat(parts, ignore_index=True).assign(
            paper="deq-ddim", experiment=job.experiment, dataset=job.dataset
        )
        write_records(summary, _records(tracing.summary(traces), job.experiment, job.dataset))
        write_frame(out, traces)


@app.command()
def latents(settings: Settings, weights: Weights, out: Out, threads: Threads = 0) -> None:
    """States of chains after some solver rounds beside the sequential ones: T<T>.joint, .sequential (n, C, H, W)."""
    from deqbench.data import checkpoints
    from deqbench.diffusion import tracing

    job = parse_job(jobs.LatentsJob, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, "sampling latents", job.model_dump(), job.device):
        tensors, words = tracing.latents(checkpoints.load(weights), job)
        write_tensors(out, tensors, metadata=words)


@app.command()
def samples(settings: Settings, weights: Weights, out: Out, threads: Threads = 0) -> None:
    """One image at several eta from one x_T, solved jointly and step by step: joint, sequential (n, C, H, W)."""
    from deqbench.data import checkpoints
    from deqbench.diffusion import tracing

    job = parse_job(jobs.SamplesJob, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, "sampling samples", job.model_dump(), job.device):
        tensors, words = tracing.samples(checkpoints.load(weights), job)
        write_tensors(out, tensors, metadata=words)
