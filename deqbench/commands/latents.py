"""Latents of latent models: targets of the inversions, watermarks, edits."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deqbench import provenance
from deqbench.config import parse_job
from deqbench.jobs import decoder as jobs
from deqbench.measure.progress import steps_bar
from deqbench.records import write_records, write_tensors

app = typer.Typer(no_args_is_help=True)

Settings = Annotated[str, typer.Option(help="this job's slice of the config, as JSON")]
Autoencoder = Annotated[Path, typer.Option(help="folder of the autoencoder, in diffusers' format")]
Denoiser = Annotated[Path, typer.Option(help="folder of the network that makes the latents")]
Networks = Annotated[list[Path], typer.Option(help="folders of the models' networks, named after them")]
Out = Annotated[Path, typer.Option(help="records to write (CSV)")]
Pictures = Annotated[Path, typer.Option(help="what the figures show, to write (safetensors)")]
Threads = Annotated[int, typer.Option(help="torch threads; 0 leaves torch's own choice")]


@app.callback()
def _group() -> None:
    """Keeps a single command below a subcommand."""


@app.command()
def targets(
    settings: Settings,
    network: Networks,
    out: Annotated[Path, typer.Option(help="folder for the targets, a safetensors file a model")],
    threads: Threads = 0,
) -> None:
    """Latents of all models, the images that the decoder makes of them, and what they were made from."""
    from deqbench.data import autoencoders, checkpoints
    from deqbench.decoder_inversion import making
    from deqbench.decoder_inversion.codec import Codec
    from deqbench.decoder_inversion.targets import save

    work: jobs.MakeTargets = parse_job(jobs.MakeTargets, settings)
    provenance.set_threads(threads)
    folders = {path.name: path for path in network}
    with steps_bar("targets", len(work.models)) as on_step:
        for done, (name, job) in enumerate(work.models.items(), start=1):
            model, file = job.model, out / f"{name}.safetensors"
            with provenance.recorded(file, "latents targets", job.model_dump(), job.device):
                codec = Codec(autoencoders.load(folders[model.autoencoder]).to(job.device), max_batch=job.pictures)
                found = checkpoints.load(folders[model.denoiser]) if model.denoiser else None
                made = making.latent_model(found, model, job.device, job.max_batch) if found else None
                save(file, making.targets(codec, made, model, job.seed))
            on_step(done)


@app.command()
def watermark(
    settings: Settings,
    autoencoder: Autoencoder,
    denoiser: Denoiser,
    out: Out,
    study: Annotated[Path, typer.Option(help="records at every guidance and by every way to x_T (CSV)")],
    pictures: Pictures,
    threads: Threads = 0,
) -> None:
    """Tree-ring keys of one model's images, told apart from latents by every inverter."""
    from deqbench.decoder_inversion import classify, mark_timing

    job: jobs.MarkJob = parse_job(jobs.MarkJob, settings)
    provenance.set_threads(threads)
    about = ("latents watermark", job.model_dump(), job.device)
    with provenance.recorded(out, *about), provenance.recorded(study, *about), provenance.recorded(pictures, *about):
        vae, made = _networks(job, autoencoder, denoiser)
        with steps_bar(f"watermark on {job.name}", sum(map(len, job.marked.guidance.values()))) as on_step:
            found = classify.run(vae, made, job, on_step)
        records = found.records + mark_timing.peaks(vae, made, job)
        _write(pictures, out, "watermark", job.name, found.pictures, records)
        write_records(study, [jobs.decoder_record("watermark-guidance", job.name, row) for row in found.study])


@app.command()
def edit(
    settings: Settings, autoencoder: Autoencoder, denoiser: Denoiser, out: Out, pictures: Pictures, threads: Threads = 0
) -> None:
    """Edits of one model's images inside a mask, and what they leave of the rest."""
    from deqbench.decoder_inversion import editing

    job: jobs.EditJob = parse_job(jobs.EditJob, settings)
    provenance.set_threads(threads)
    about = ("latents edit", job.model_dump(), job.device)
    with provenance.recorded(out, *about), provenance.recorded(pictures, *about):
        vae, made = _networks(job, autoencoder, denoiser)
        with steps_bar(f"edits on {job.name}", len(job.inverters)) as on_step:
            found = editing.run(vae, made, job, on_step)
        _write(pictures, out, "editing", job.name, found.pictures, found.records)


@app.command()
def time(
    settings: Settings,
    network: Networks,
    out: Out,
    threads: Threads = 0,
) -> None:
    """Seconds from a marked image to x_T, one image at a time; wants the machine to itself."""
    from deqbench.decoder_inversion import mark_timing

    work: jobs.TimeMarks = parse_job(jobs.TimeMarks, settings)
    provenance.set_threads(threads)
    folders, rows = {path.name: path for path in network}, []
    with provenance.recorded(out, "latents time", work.model_dump()):
        for name, job in work.models.items():
            vae, made = _networks(job, folders[job.model.autoencoder], folders[str(job.model.denoiser)])
            with steps_bar(f"times on {name}", job.marked.timed + 1) as on_step:
                found = mark_timing.times(vae, made, job, on_step)
            rows += [jobs.decoder_record("watermark", name, row) for row in found]
        write_records(out, rows)


def _networks(job: jobs.DecoderJob, autoencoder: Path, denoiser: Path) -> tuple[Any, Any]:
    """The autoencoder and the latent model of a job, on its device."""
    from deqbench.data import autoencoders, checkpoints
    from deqbench.decoder_inversion import making

    vae = autoencoders.load(autoencoder).to(job.device)
    return vae, making.latent_model(checkpoints.load(denoiser), job.model, job.device, job.max_batch)


def _write(
    pictures: Path, out: Path, experiment: str, name: str, shown: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    methods = ",".join(dict.fromkeys(row["method"] for row in records))
    write_tensors(pictures, shown, {"dataset": name, "methods": methods})
    write_records(out, [jobs.decoder_record(experiment, name, row) for row in records])
