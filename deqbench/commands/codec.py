"""What encoder after decoder does: cocoercivity, theorems, precision; memory and frames."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from deqbench import provenance
from deqbench.config import parse_job
from deqbench.jobs import decoder as jobs
from deqbench.jobs.decoder.studies import bytes_files, study_files
from deqbench.records import write_records

app = typer.Typer(no_args_is_help=True)

Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Autoencoder = Annotated[Path, typer.Option(help="folder of the autoencoder, in diffusers' format")]
Out = Annotated[Path, typer.Option(help="the paper's folder of results to write into")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]


@app.command()
def study(
    settings: Settings,
    autoencoder: Autoencoder,
    targets: Annotated[Path, typer.Option(help="the model's targets (safetensors)")],
    out: Out,
    threads: Threads = 0,
) -> None:
    """Cocoercivity, theorems and precision on the iterates of one model's inversions, a folder each."""
    from deqbench.data import autoencoders
    from deqbench.decoder_inversion import codec_studies
    from deqbench.decoder_inversion.targets import load

    job = parse_job(jobs.CodecStudy, settings)
    provenance.set_threads(threads)
    files = study_files(job, job.name)
    with _recorded([out / file for file in files], "codec study", job):
        vae = autoencoders.load(autoencoder).to(job.device)  # type: ignore[arg-type]
        found = codec_studies.study(vae, load(targets)["test"], job)
        for file in files:
            rows = _records(found[file.rsplit(".", 1)[0]], file, job)
            if file.endswith("iterates.csv"):  # the table's; every iteration is drawn
                rows = rows[rows["iterations"].isin(job.precision.at)]
            write_records(out / file, rows)


@app.command()
def memory(settings: Settings, autoencoder: Autoencoder, out: Out, threads: Threads = 0) -> None:
    """Peak bytes of one iteration of every kind of method, and frames that fit, of one model; a folder each."""
    import torch

    from deqbench.data import autoencoders
    from deqbench.decoder_inversion import codec_memory, frames

    job = parse_job(jobs.CodecBytes, settings)
    provenance.set_threads(threads)
    with _recorded([out / file for file in bytes_files(job, job.name)], "codec memory", job):
        vae = autoencoders.load(autoencoder).to(job.device)  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(job.seed)
        rows = codec_memory.memory(vae, job.memory.pixels, job.memory.batches, generator)
        write_records(out / f"memory/{job.name}.csv", _records(rows, "memory", job))
        if (section := job.frames) is not None:
            budget = section.budget_gib * frames.GIB
            rows = frames.frames(vae, section.pixels, section.counts, section.held_out, budget, generator)
            write_records(out / f"frames/{job.name}.csv", _records(rows, "frames", job))


@contextmanager
def _recorded(outs: list[Path], command: str, job: jobs.DecoderJob) -> Iterator[None]:
    """The provenance of several files that one job writes."""
    with ExitStack() as stack:
        for out in outs:
            stack.enter_context(provenance.recorded(out, command, job.model_dump(), job.device))
        yield


def _records(rows: Iterable[dict[str, Any]], file: str, job: jobs.DecoderJob) -> pd.DataFrame:
    return pd.DataFrame([jobs.decoder_record(file.split("/")[0], job.name, row) for row in rows])
