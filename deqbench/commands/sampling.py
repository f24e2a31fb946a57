"""DEQ-DDIM and sequential sampling: images, their scores, times, traces of the joint solve, and latents.

Each command imports what it alone needs: a job is a process, and drawing images must not wait for data frames.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors import safe_open

from deqbench import jobs, provenance
from deqbench.config import parse_job
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


def _records(paper_rows: list[dict[str, Any]], experiment: str, dataset: str) -> list[dict[str, Any]]:
    return [{"paper": "deq-ddim", "experiment": experiment, "dataset": dataset, **row} for row in paper_rows]


@app.command()
def draw(method: str, settings: Settings, weights: Weights, out: Out, threads: Threads = 0) -> None:
    """One shard of one method's images at every T: x0 (n, C, H, W) float32, rounds, nfe, diverged, diffusers' x0."""
    from deqbench.data import checkpoints
    from deqbench.diffusion import experiments

    job = parse_job(jobs.Draw, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, f"sampling draw {method}", job.model_dump(), job.device):
        network = checkpoints.load(weights)
        images = jobs.shard_images(job.scores.images, job.scores.shards, job.shard)
        tensors: dict[str, torch.Tensor] = {}
        with steps_bar(f"{method} on {job.dataset}", len(images) * len(job.scores.T)) as on_step:
            for place, T in enumerate(job.scores.T):
                drawn = experiments.draw(network, job, T, partial(_add, on_step, place * len(images)))
                tensors |= {f"T{T}.{name}": tensor for name, tensor in drawn.items()}
                if job.shard == 0 and job.grid == "uniform-released":
                    first = images[:ORACLE_IMAGES]
                    walked = experiments.diffusers_walk(network, job.method, job.grid, T, job.seed, first)
                    tensors[f"T{T}.diffusers"] = walked
        write_tensors(out, tensors)


def read_drawn(paths: list[Path], T: int) -> dict[str, torch.Tensor]:
    """One method's tensors at one T, shards in the order given: x0, rounds, nfe, diverged, diffusers where made."""
    parts: dict[str, list[torch.Tensor]] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (no dict)
                prefix, name = key.split(".")
                if prefix == f"T{T}":
                    parts.setdefault(name, []).append(file.get_tensor(key))
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


@app.command()
def score(
    drawn: Annotated[list[Path], typer.Argument(help="the methods' files, as <method>/<shard>.safetensors")],
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
        by_method = {name: sorted(p for p in drawn if p.parent.name == name) for name in job.methods}
        rows = []
        for T in job.T:
            images = {name: read_drawn(paths, T) for name, paths in by_method.items()}
            rows += [{"T": T, **row} for row in scores.table(images, job, reference)]
        write_records(out, _records(rows, "table-1", job.dataset))


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
            network = checkpoints.load(folder)
            with steps_bar(f"times on {name}", len(times.T)) as on_step:
                for place, T in enumerate(times.T, start=1):
                    for run in experiments.timed(network, job, name, T):
                        keys = {"method": run["method"], "T": T, "image": run["image"]}
                        rows += _records([keys | m for m in _timed_metrics(run)], "table-1", name)
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
        chains = [(name, T) for name in job.methods for T in sorted(job.trace.runs)]
        parts = []
        with steps_bar(f"traces on {job.dataset}", len(chains)) as on_step:
            for place, (name, T) in enumerate(chains, start=1):
                part = tracing.trace(network, job, job.methods[name], T)
                parts.append(part.assign(method=name, T=T))
                on_step(place)
        traces = pd.concat(parts, ignore_index=True).assign(
            paper="deq-ddim", experiment="figure-1", dataset=job.dataset
        )
        write_records(summary, _records(tracing.summary(traces), "figure-1", job.dataset))
        write_frame(out, traces)


@app.command()
def latents(settings: Settings, weights: Weights, out: Out, threads: Threads = 0) -> None:
    """States of one chain after some solver rounds beside the sequential chain's: joint, sequential (n, C, H, W)."""
    from deqbench.data import checkpoints
    from deqbench.diffusion import tracing

    job = parse_job(jobs.LatentsJob, settings)
    provenance.set_threads(threads)
    with provenance.recorded(out, "sampling latents", job.model_dump(), job.device):
        tensors, words = tracing.latents(checkpoints.load(weights), job)
        write_tensors(out, tensors, metadata=words)
