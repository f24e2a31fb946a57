"""Decoder inversion: errors by iteration of every method, seconds, and seconds to each level of error."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from deqbench import jobs, provenance
from deqbench.config import parse_job
from deqbench.measure.progress import steps_bar
from deqbench.records import read_frame, write_frame, write_records

app = typer.Typer(no_args_is_help=True)

Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Out = Annotated[Path, typer.Option(help="records to write (CSV)")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]
Autoencoders = Annotated[list[Path], typer.Option(help="folder of each model's autoencoder, in diffusers' format")]
TargetFiles = Annotated[list[Path], typer.Option(help="each model's targets, in the same order")]


def _frame(rows: list[dict[str, Any]], model: str) -> pd.DataFrame:
    return pd.DataFrame([jobs.decoder.decoder_record("sweep", model, row) for row in rows])


@app.command()
def sweep(
    settings: Settings,
    autoencoder: Autoencoders,
    targets: TargetFiles,
    out: Annotated[Path, typer.Option(help="folder for a folder a model: errors.csv and traces.parquet")],
    threads: Threads = 0,
) -> None:
    """Errors by iteration of every method on the targets of some models, rates chosen on tuning targets."""
    from deqbench.data import autoencoders
    from deqbench.decoder_inversion import sweep as sweeping
    from deqbench.decoder_inversion import targets as target_files

    work = parse_job(jobs.decoder.Sweeps, settings)
    provenance.set_threads(threads)
    for (model, job), folder, file in zip(work.models.items(), autoencoder, targets, strict=True):
        traces = out / model / "traces.parquet"
        with provenance.recorded(traces, "decoder sweep", job.model_dump(), job.device):
            with steps_bar(f"sweep on {model}", len(job.inverters)) as on_step:
                found = sweeping.sweep(autoencoders.load(folder), target_files.load(file), job, on_step)
            write_records(out / model / "errors.csv", _frame(found.records, model))
            write_frame(traces, pd.concat(found.traces, ignore_index=True).assign(dataset=model))


@app.command()
def times(settings: Settings, autoencoder: Autoencoders, targets: TargetFiles, out: Out, threads: Threads = 0) -> None:
    """Seconds of every method on one image at a time, methods in turn; wants the machine to itself."""
    from deqbench.data import autoencoders
    from deqbench.decoder_inversion import targets as target_files
    from deqbench.decoder_inversion import timing

    job = parse_job(jobs.decoder.TimeSweep, settings)
    provenance.set_threads(threads)
    frames = []
    with provenance.recorded(out, "decoder times", job.model_dump(), next(iter(job.models.values())).device):
        for (model, about), folder, file in zip(job.models.items(), autoencoder, targets, strict=True):
            test = target_files.load(file)["test"]
            with steps_bar(f"times on {model}", min(job.images[model], len(test.x)) + 1) as on_step:
                frames.append(_frame(timing.times(model, autoencoders.load(folder), test, job, on_step), about.name))
        write_records(out, pd.concat(frames, ignore_index=True))


@app.command()
def ladder(
    settings: Settings,
    traces: Annotated[Path, typer.Option(help="traces of the sweep (Parquet)")],
    times: Annotated[Path, typer.Option(help="records of the times (CSV)")],
    out: Out,
    climb: Annotated[Path, typer.Option(help="records by level to write (CSV)")],
    points: Annotated[Path, typer.Option(help="every setting with its error and seconds to write (Parquet)")],
) -> None:
    """Seconds to the declared budgets, to each level of error, and every setting with its place on the frontier."""
    from deqbench.decoder_inversion import frontier

    job = parse_job(jobs.decoder.LadderJob, settings)
    with provenance.recorded(points, "decoder ladder", job.model_dump()):
        whole = read_frame(times)
        timed, traced = whole[whole["dataset"] == job.name], read_frame(traces)
        clocked = frontier.clocked(traced, timed)
        longest = traced[traced["chosen"]].groupby("method")["iteration"].max()
        ran = {str(method): int(last) for method, last in longest.items()}
        rows = [*frontier.runtimes(timed, job.budgets, ran), *frontier.midway(clocked, job.ladder)]
        write_records(out, _frame(rows, job.name))
        write_records(climb, _frame(list(frontier.climb(clocked, job.ladder)), job.name))
        write_frame(points, frontier.points(clocked).assign(dataset=job.name))
