"""DEQ-DDIM inversion: latents of test images by every method, their times, and loss against seconds."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from deqbench import jobs, provenance
from deqbench.config import parse_job
from deqbench.errors import UserError
from deqbench.measure.progress import steps_bar
from deqbench.records import read_frame, write_frame, write_records, write_tensors

app = typer.Typer(no_args_is_help=True)

Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Weights = Annotated[list[Path], typer.Option(help="folders of the data sets' checkpoints, named after them")]
DatasetFiles = Annotated[list[Path], typer.Option(help="the data sets' files, named after them")]
Out = Annotated[Path, typer.Option(help="records to write (CSV)")]
Traces = Annotated[Path, typer.Option(help="traces to write (Parquet)")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]


def _frame(rows: list[dict[str, Any]], experiment: str, dataset: str) -> pd.DataFrame:
    return pd.DataFrame([jobs.record(experiment, dataset, row) for row in rows])


@app.command()
def run(
    settings: Annotated[list[str], typer.Option(help="slices of the config, as JSON, one after the other")],
    weights: Weights,
    dataset: DatasetFiles,
    out: Annotated[Path, typer.Option(help="folder for <experiment>/<dataset>/<T>.csv, .parquet and .safetensors")],
    threads: Threads = 0,
) -> None:
    """Losses by update of every method on one data set at one T, its rate chosen on tuning images."""
    provenance.set_threads(threads)
    for job in [parse_job(jobs.Invert, told) for told in settings]:
        _run(job, *_of(job.dataset, weights, dataset), out / job.experiment / job.dataset)


def _of(name: str, weights: list[Path], datasets: list[Path]) -> tuple[Path, Path]:
    """The checkpoint and the file of a data set, by name. UserError: one of them is not given."""
    given = {"weights": {path.name: path for path in weights}, "dataset": {path.stem: path for path in datasets}}
    for option, found in given.items():
        if name not in found:
            raise UserError(f"--{option}: expected one named {name}; found {', '.join(found)}")
    return given["weights"][name], given["dataset"][name]


def _run(job: jobs.Invert, weights: Path, dataset: Path, folder: Path) -> None:
    from deqbench.data import checkpoints, datasets
    from deqbench.diffusion import inversion

    records, traces, pictures = (folder / f"{job.T}{ending}" for ending in (".csv", ".parquet", ".safetensors"))
    about = ("inversion run", job.model_dump(), job.device)
    with provenance.recorded(traces, *about), provenance.recorded(pictures, *about):
        name = f"{job.experiment} on {job.dataset}, T = {job.T}"
        with steps_bar(name, len(job.inverters) * max(1, len(job.eta))) as on_step:
            found = inversion.run(checkpoints.load(weights), datasets.load(dataset), job, on_step)
        metadata = {
            "dataset": job.dataset,
            "T": str(job.T),
            "methods": ",".join(job.inverters),
            "eta": ",".join(f"{eta:g}" for eta in job.eta or [0.0]),
            "longer": str(job.chains.longer or ""),
        }
        write_tensors(pictures, found.pictures, metadata)
        write_records(records, _frame(found.records, job.experiment, job.dataset))
        write_frame(traces, _frame(found.traces, job.experiment, job.dataset))


@app.command()
def time(
    settings: Settings,
    weights: Weights,
    dataset: DatasetFiles,
    out: Out,
    traces: Traces,
    threads: Threads = 0,
) -> None:
    """Seconds of an update or of a whole run of every method, one image at a time; wants the machine to itself."""
    from deqbench.data import checkpoints, datasets
    from deqbench.diffusion import races

    job = parse_job(jobs.TimeInversions, settings)
    provenance.set_threads(threads)
    records, rows = [], []
    with provenance.recorded(traces, "inversion time", job.model_dump(), job.device):
        for name, chains in job.chains.items():
            folder, file = _of(name, weights, dataset)
            network, data = checkpoints.load(folder), datasets.load(file)
            with steps_bar(f"times on {name}", len(chains) * max(1, len(job.eta))) as on_step:
                found, traced = races.times(network, data, job, name, on_step)
            records.append(_frame(found, job.experiment, name))
            rows.append(_frame(traced, job.experiment, name))
        write_records(out, pd.concat(records, ignore_index=True))
        write_frame(traces, pd.concat(rows, ignore_index=True))


@app.command()
def race(
    records: Annotated[list[Path], typer.Argument(help="records and traces of the runs, CSV and Parquet")],
    settings: Settings,
    times: Annotated[Path, typer.Option(help="records of the times (CSV)")],
    steps: Annotated[Path, typer.Option(help="traces of the times (Parquet)")],
    out: Out,
    traces: Traces,
) -> None:
    """Loss against seconds: who reaches the baseline's smallest loss when, and who is where at equal seconds."""
    from deqbench.diffusion import races

    job = parse_job(jobs.Race, settings)
    with provenance.recorded(traces, "inversion race", job.model_dump()):
        frames = {
            suffix: pd.concat([read_frame(path) for path in sorted(records) if path.suffix == suffix])
            for suffix in (".csv", ".parquet")
        }
        found, curves = races.race(frames[".csv"], frames[".parquet"], read_frame(times), read_frame(steps), job)
        about = {"paper": "deq-ddim", "experiment": job.experiment}
        write_records(out, found.assign(**about))
        write_frame(traces, curves.assign(**about))
