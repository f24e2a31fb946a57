"""Cocoercivity, theorems and half precision on one model's iterates: in one job, so that no run is made twice."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

import torch

from deqbench.data import autoencoders
from deqbench.decoder_inversion import Precision
from deqbench.decoder_inversion.codec import Codec
from deqbench.experiments.decoder_inversion import target_files
from deqbench.experiments.decoder_inversion.iterates import half_precision, remarks, theorems
from deqbench.experiments.decoder_inversion.iterates.cocoercivity import ratios, rows
from deqbench.experiments.decoder_inversion.iterates.config import Figure, HalfPrecision, Theorems
from deqbench.experiments.decoder_inversion.iterates.job import IteratesJob
from deqbench.experiments.decoder_inversion.iterates.trajectories import Recording, Trajectory, follow
from deqbench.experiments.decoder_inversion.methods import codec_of
from deqbench.experiments.decoder_inversion.target_files import Targets
from deqbench.experiments.files import Files, OnStep
from deqbench.experiments.rows import Row


def cocoercivity(job: IteratesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Cocoercivity by exhibit (figure_...), theorems (runs, remarks) and precision (gradients, iterates) of a model."""
    vae = autoencoders.load(files.one("autoencoder")).to(job.device)  # type: ignore[arg-type]
    return study(vae, target_files.load(files.one("targets"))["test"], job)


def study(vae: Any, targets: Targets, job: IteratesJob) -> dict[str, list[Row]]:
    """All rows by the name of the output that they belong in."""
    runs, by_output = Runs(vae, targets, job), dict[str, list[Row]]()
    for exhibit in job.cocoercivity.figures:
        drawn = list(figures(runs, exhibit))
        by_output |= {f"{exhibit.replace('-', '_')}_{ending}": drawn for ending in ("csv", "parquet")}
    if job.theorems is not None:
        by_output["runs_csv"] = _of("theorems", conditions(runs, job.theorems))
        by_output["remarks_csv"] = _of("theorems", remarked(runs))
    if job.precision is not None:
        gradients, drifted = halved(runs, job.precision)
        drawn = _of("precision", drifted)
        by_output["gradients_csv"] = _of("precision", gradients)
        by_output["iterates_parquet"] = drawn  # every iteration is drawn; the table has some
        by_output["iterates_csv"] = [row for row in drawn if row["iterations"] in job.precision.at]
    return by_output


def _of(experiment: str, rows: Iterable[Row]) -> list[Row]:
    return [{"experiment": experiment, **row} for row in rows]


class Runs:
    """The trajectories of a model's instances: each method's is made once for each number of iterations."""

    def __init__(self, vae: Any, targets: Targets, job: IteratesJob) -> None:
        self.vae, self.job = vae, job
        self.targets = targets.first(job.cocoercivity.instances)
        self.x = self.targets.images(job.model.quantised)
        self.made: dict[tuple[str, int], Trajectory] = {}

    def of(self, name: str, iterates: int, limit: int) -> Trajectory:
        """The trajectory of a method over `limit` iterations, of which at least `iterates` + 1 iterates are kept."""
        run = self.made.get((name, limit))
        if run is None or len(run.z) <= iterates:
            method = self.job.inverters[name]
            generator = torch.Generator(self.x.device).manual_seed(self.job.seed)
            codec = codec_of(self.vae, method, generator, self.job.pictures, Recording)
            run = follow(codec, self.x, method.inverter, method.options, iterates=iterates, limit=limit)
            self.made[name, limit] = run
        return run


def figures(runs: Runs, exhibit: Figure) -> Iterator[Row]:
    """Rows of one exhibit: of every method of its, each instance's measures and the statistics over them."""
    section = runs.job.cocoercivity.figures[exhibit]
    wide = Codec(runs.vae, max_batch=runs.job.pictures)
    for name in section.inverters:
        run = runs.of(name, section.iterates, section.limit)
        narrow = runs.job.inverters[name].precision != "fp32"
        yield from rows(name, run, _evaluated(wide, run) if narrow else None, runs.targets.z)


@torch.no_grad()
def _evaluated(wide: Codec, run: Trajectory) -> torch.Tensor:
    """(B,) the smallest ratio of Eq. 14 along the same iterates, E(D(.)) evaluated in float32."""
    limit = wide.encode_decode(run.limit)
    again = torch.stack([wide.encode_decode(z) for z in run.z])
    return ratios(limit - again, run.limit - run.z).amin(0)


def conditions(runs: Runs, section: Theorems) -> Iterator[Row]:
    """Rows of the theorems: their conditions' word on every run, and what became of it."""
    zero = runs.of(section.zero, 0, section.zero_iterations)
    for name in section.inverters:
        method = runs.job.inverters[name]
        step, alpha = theorems.step_and_inertia(method.inverter, method.options)
        yield from theorems.rows(name, runs.of(name, 0, section.iterations), zero, step, alpha)


def remarked(runs: Runs) -> Iterator[Row]:
    """Rows of remarks 1 and 2."""
    generator = torch.Generator(runs.x.device).manual_seed(runs.job.seed)
    yield from remarks.preimages(runs.vae, runs.targets, generator, runs.job.pictures)
    yield from remarks.linear(torch.Generator().manual_seed(runs.job.seed))


def halved(runs: Runs, section: HalfPrecision) -> tuple[list[Row], list[Row]]:
    """Rows of half precision: of gradients (and seconds), and of iterates."""
    job = runs.job
    few = runs.targets.first(section.images)
    x = few.images(job.model.quantised)
    start = Codec(runs.vae, max_batch=job.pictures).encode(x).detach()
    taken = half_precision.gradients(
        runs.vae, x, start, section.variants, updates=section.updates, lr=section.lr, max_batch=job.pictures
    )
    timed = [name for name in section.variants if name in get_args(Precision)]
    gradients = [*taken, *half_precision.seconds(runs.vae, start, timed, section.repeats)]
    followed = runs.targets.first(section.instances)
    drifted = half_precision.drift(
        runs.vae,
        followed.images(job.model.quantised),
        followed.z,
        {name: job.inverters[name] for name in section.inverters},
        iterations=section.iterations,
        at=section.at,
        generator=torch.Generator(runs.x.device).manual_seed(job.seed),
        max_batch=job.pictures,
    )
    return gradients, list(drifted)
