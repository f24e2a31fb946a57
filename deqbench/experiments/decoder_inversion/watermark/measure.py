"""Watermarked images told apart by every inverter, and what the ways to x_T take."""

from typing import Any

from deqbench.experiments.decoder_inversion.models import networks, networks_at
from deqbench.experiments.decoder_inversion.watermark import classify, timing
from deqbench.experiments.decoder_inversion.watermark.job import MarkJob, TimeMarksJob
from deqbench.experiments.files import Files, OnStep, stepped


def watermark(job: MarkJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Who is told apart at the guidance and by the way to x_T that are timed (told), and at all of them (guidance)."""
    vae, made = networks(job, files)
    outcome = classify.run(vae, made, job, on_step)
    told = outcome.records + timing.peaks(vae, made, job)
    methods = ",".join(dict.fromkeys(row["method"] for row in told))
    return {
        "told": told,
        "guidance": [{"experiment": f"{job.experiment}-guidance", **row} for row in outcome.study],
        "pictures": (outcome.pictures, {"dataset": job.dataset, "methods": methods}),
    }


def time(job: TimeMarksJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds from a marked image to x_T, one image at a time, methods in turn."""
    rows = []
    for name, marked in stepped(job.models.items(), on_step):
        folders = (files.of("network", str(part)) for part in (marked.model.autoencoder, marked.model.denoiser))
        rows += [{"dataset": name, **row} for row in timing.times(*networks_at(marked, *folders), marked)]
    return {"times": rows}
