"""The studies of one model's iterates in one process, so that no run is made twice. Pure of files."""

from collections.abc import Iterator
from typing import Any

import torch

from deqbench.config.decoder.studies import Figure
from deqbench.decoder_inversion import cocoercivity, half_precision, remarks, theorems
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.targets import Targets
from deqbench.decoder_inversion.trajectories import Recording, Trajectory, codec_of, follow
from deqbench.jobs.decoder import CodecStudy, method_options

Row = dict[str, Any]


class Runs:
    """The trajectories of a model's instances: each method's is made once for each number of iterations."""

    def __init__(self, vae: Any, targets: Targets, job: CodecStudy) -> None:
        self.vae, self.job = vae, job
        self.targets = targets.first(job.cocoercivity.instances)
        self.x = self.targets.images(job.model.quantised)
        self.made: dict[tuple[str, int], Trajectory] = {}

    def of(self, name: str, iterates: int, limit: int) -> Trajectory:
        """The trajectory of a method over `limit` iterations, of which at least `iterates` + 1 iterates are kept."""
        found = self.made.get((name, limit))
        if found is None or len(found.z) <= iterates:
            method = self.job.inverters[name]
            generator = torch.Generator(self.x.device).manual_seed(self.job.seed)
            codec = codec_of(self.vae, method, generator, self.job.pictures, Recording)
            options = method_options(method)
            found = follow(codec, self.x, method.inverter, options, iterates=iterates, limit=limit)
            self.made[name, limit] = found
        return found


def figures(runs: Runs, exhibit: Figure) -> Iterator[Row]:
    """Rows of one exhibit: of every method of its, each instance's measures and the statistics over them."""
    section = runs.job.cocoercivity.figures[exhibit]
    wide = Codec(runs.vae, max_batch=runs.job.pictures)
    for name in section.inverters:
        run = runs.of(name, section.iterates, section.limit)
        narrow = runs.job.inverters[name].precision != "fp32"
        yield from cocoercivity.rows(name, run, _evaluated(wide, run) if narrow else None, runs.targets.z)


@torch.no_grad()
def _evaluated(wide: Codec, run: Trajectory) -> torch.Tensor:
    """(B,) the smallest ratio of Eq. 14 along the same iterates, E(D(.)) evaluated in float32."""
    limit = wide.again(run.limit)
    again = torch.stack([wide.again(z) for z in run.z])
    return cocoercivity.ratios(limit - again, run.limit - run.z).amin(0)


def conditions(runs: Runs) -> Iterator[Row]:
    """Rows of the theorems: what their conditions say of every run, and what became of it."""
    section = runs.job.theorems
    assert section is not None
    zero = runs.of(section.zero, 0, section.zero_iterations)
    for name in section.inverters:
        method = runs.job.inverters[name]
        step, alpha = theorems.step_and_inertia(method.inverter, method_options(method))
        yield from theorems.rows(name, runs.of(name, 0, section.iterations), zero, step, alpha)


def remarked(runs: Runs) -> Iterator[Row]:
    """Rows of remarks 1 and 2."""
    generator = torch.Generator(runs.x.device).manual_seed(runs.job.seed)
    yield from remarks.preimages(runs.vae, runs.targets, generator, runs.job.pictures)
    yield from remarks.linear(torch.Generator().manual_seed(runs.job.seed))


def halved(runs: Runs) -> tuple[list[Row], list[Row]]:
    """Rows of half precision: of gradients (and seconds), and of iterates."""
    section, job = runs.job.precision, runs.job
    assert section is not None
    few = runs.targets.first(section.images)
    x = few.images(job.model.quantised)
    start = Codec(runs.vae, max_batch=job.pictures).encode(x).detach()
    gradients = list(
        half_precision.gradients(
            runs.vae, x, start, section.variants, updates=section.updates, lr=section.lr, max_batch=job.pictures
        )
    )
    timed = [name for name in section.variants if name in ("fp32", "bf16", "fp16")]
    gradients += half_precision.seconds(runs.vae, start, timed, section.repeats)
    followed = runs.targets.first(section.instances)
    drifted = half_precision.drift(
        runs.vae,
        followed.images(job.model.quantised),
        followed.z,
        {name: (job.inverters[name], method_options(job.inverters[name])) for name in section.inverters},
        iterations=section.iterations,
        at=section.at,
        generator=torch.Generator(runs.x.device).manual_seed(job.seed),
        max_batch=job.pictures,
    )
    return gradients, list(drifted)


def study(vae: Any, targets: Targets, job: CodecStudy) -> dict[str, list[Row]]:
    """All rows by the file that they belong in, as `study_files` names them, without the ending."""
    runs, found = Runs(vae, targets, job), dict[str, list[Row]]()
    for exhibit in job.cocoercivity.figures:
        found[f"cocoercivity/{job.name}/{exhibit}"] = list(figures(runs, exhibit))
    if job.theorems is not None:
        found[f"theorems/{job.name}/runs"] = list(conditions(runs))
        found[f"theorems/{job.name}/remarks"] = list(remarked(runs))
    if job.precision is not None:
        gradients, drifted = halved(runs)
        found |= {f"precision/{job.name}/gradients": gradients, f"precision/{job.name}/iterates": drifted}
    return found
