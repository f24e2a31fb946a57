"""All samplers on the same chains: rounds, evaluations and errors of one problem, and the times on all."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from deqbench import jobs, provenance
from deqbench.config import parse_job
from deqbench.data import checkpoints, datasets
from deqbench.diffusion import comparison, problems
from deqbench.diffusion.problems import Problem
from deqbench.measure.progress import steps_bar
from deqbench.records import read_json, write_frame, write_json, write_records

app = typer.Typer(no_args_is_help=True)

Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Weights = Annotated[list[Path], typer.Option(help="folders of the data sets' checkpoints, named after them")]
Data = Annotated[list[Path], typer.Option(help="the data sets' files, named after them: moments of their train splits")]
Out = Annotated[Path, typer.Option(help="records to write (CSV)")]
Traces = Annotated[Path, typer.Option(help="traces to write (Parquet)")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]


def _problem(name: str, grid: str, weights: list[Path], data: list[Path], job: Any) -> Problem:
    """The network's chains where there is a checkpoint of that name, otherwise analytic ones."""
    place = (grid, job.device, job.max_batch, job.seed)
    for folder in weights:
        if folder.name == name:
            train = next((datasets.load(path).train for path in data if path.stem == name), None)
            return problems.of_network(checkpoints.load(folder), *place, train)
    return problems.of_mixture(name, *place)


def _frame(rows: list[dict[str, Any]], problem: str) -> pd.DataFrame:
    return pd.DataFrame([jobs.record("comparison", problem, row) for row in rows])


@app.command()
def measure(
    settings: Settings,
    out: Out,
    traces: Traces,
    chosen: Annotated[Path, typer.Option(help="what was chosen for methods with candidates, to write (JSON)")],
    weights: Weights = [],  # noqa: B006  (typer's way of an option that may be missing)
    dataset: Data = [],  # noqa: B006
    threads: Threads = 0,
) -> None:
    """Every method on one problem: candidates tried, its own stop, and the round after which it is right."""
    job = parse_job(jobs.CompareJob, settings)
    provenance.set_threads(threads)
    with provenance.recorded(traces, "comparison measure", job.model_dump(), job.device):
        problem = _problem(job.dataset, job.grid, weights, dataset, job)
        with steps_bar(f"{job.dataset}, T = {job.T}", len(job.compared)) as on_step:
            records, rows, picked = comparison.compare(problem, job, on_step)
        write_json(chosen, picked)
        write_records(out, _frame(records, job.dataset))
        write_frame(traces, _frame(rows, job.dataset))


@app.command()
def time(
    settings: Settings,
    chosen: Annotated[list[Path], typer.Option(help="the problems' chosen settings")],
    out: Out,
    traces: Traces,
    weights: Weights = [],  # noqa: B006
    dataset: Data = [],  # noqa: B006
    threads: Threads = 0,
) -> None:
    """Seconds of one image by each method on each problem, methods taking turns; wants the machine to itself."""
    job = parse_job(jobs.TimeComparedJob, settings)
    provenance.set_threads(threads)
    picked = {(row["dataset"], row["T"], row["method"]): row["options"] for path in chosen for row in read_json(path)}
    records, rows = [], []
    with provenance.recorded(traces, "comparison time", job.model_dump(), job.device):
        for name, images in job.images.items():
            problem = _problem(name, job.grids[name], weights, dataset, job)
            with steps_bar(f"times on {name}", sum(images.values())) as on_step:
                found, traced = comparison.times(problem, job, name, picked, on_step)
            records.append(_frame(found, name))
            rows.append(_frame(traced, name))
        write_records(out, pd.concat(records, ignore_index=True))
        write_frame(traces, pd.concat(rows, ignore_index=True))
