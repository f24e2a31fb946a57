"""Studies beside the paper's exhibits: costs by batch size, long solves, workers; gradients and memory of inversion."""

from pathlib import Path
from typing import Annotated

import typer

from deqbench import jobs, provenance
from deqbench.config import parse_job
from deqbench.records import write_records

app = typer.Typer(no_args_is_help=True)
Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Weights = Annotated[Path, typer.Option(help="folder of the checkpoint, in diffusers' format")]
Data = Annotated[Path, typer.Option(help="the data set's file")]
Out = Annotated[Path, typer.Option(help="CSV file to write")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]


@app.command()
def costs(settings: Settings, weights: Weights, out: Out, threads: Threads = 0) -> None:
    """Seconds, predicted seconds and bytes of states by T, batch and method; wants the machine to itself."""
    _on_network("costs", parse_job(jobs.CostsJob, settings), weights, out, threads)


@app.command()
def cycles(settings: Settings, weights: Weights, out: Out, threads: Threads = 0) -> None:
    """How joint solves of many rounds end, by T, image and method."""
    _on_network("cycles", parse_job(jobs.CyclesJob, settings), weights, out, threads)


def _on_network(study: str, job: jobs.Job, weights: Path, out: Path, threads: int) -> None:
    from deqbench.data import checkpoints
    from deqbench.diffusion import studies

    measure = getattr(studies, study)
    provenance.set_threads(threads)
    with provenance.recorded(out, f"studies {study}", job.model_dump(), job.device):
        rows = list(measure(checkpoints.load(weights), job))
        write_records(out, [jobs.record(study, job.dataset, row) for row in rows])


@app.command()
def workers(settings: Settings, weights: Weights, out: Out) -> None:
    """Seconds of one image by T and number of workers that share each round; wants the machine to itself."""
    from deqbench.diffusion import studies

    job = parse_job(jobs.WorkersJob, settings)
    with provenance.recorded(out, "studies workers", job.model_dump(), job.device):
        rows = list(studies.workers(job, weights))
        write_records(out, [jobs.record("workers", job.dataset, row) for row in rows])


@app.command()
def gradients(settings: Settings, weights: Weights, dataset: Data, out: Out, threads: Threads = 0) -> None:
    """Every gradient of the inversion loss beside the exact one, by T, start and image."""
    _on_images("gradients", parse_job(jobs.GradientsJob, settings), weights, dataset, out, threads)


@app.command()
def inversion_memory(settings: Settings, weights: Weights, dataset: Data, out: Out, threads: Threads = 0) -> None:
    """Bytes of gradients and inverters by T, of one image."""
    _on_images("inversion-memory", parse_job(jobs.InversionMemoryJob, settings), weights, dataset, out, threads)


def _on_images(study: str, job: jobs.Job, weights: Path, dataset: Path, out: Path, threads: int) -> None:
    from deqbench.data import checkpoints, datasets
    from deqbench.diffusion import inversion_studies
    from deqbench.measure.peaks import frozen

    measure = getattr(inversion_studies, study.replace("-", "_"))
    provenance.set_threads(threads)
    with provenance.recorded(out, f"studies {study}", job.model_dump(), job.device), frozen():
        rows = list(measure(checkpoints.load(weights), datasets.load(dataset), job))
        write_records(out, [jobs.record(study, job.dataset, row) for row in rows])
