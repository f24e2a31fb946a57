"""Seconds and bytes from an image to x_T, by decoder inverter, one image at a time. Source: table 2."""

from dataclasses import dataclass
from functools import partial

from torch import nn

from deqbench.decoder_inversion import tree_rings
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.experiments.decoder_inversion.methods import BoundInverter, inverted
from deqbench.experiments.decoder_inversion.shared import ORACLE
from deqbench.experiments.decoder_inversion.watermark.classify import Marked, mark, model_at, walked_back
from deqbench.experiments.decoder_inversion.watermark.job import MarkJob
from deqbench.experiments.rows import Row
from deqbench.measure.clock import Stopwatch
from deqbench.measure.peaks import frozen, peak_bytes


@dataclass(frozen=True)
class Way:
    """One image at a time from x to x_T: by each decoder inverter, then back along the chain that is timed."""

    model: LatentModel
    job: MarkJob
    batch: Marked
    methods: dict[str, BoundInverter]

    @classmethod
    def of(cls, vae: nn.Module, made: LatentModel, job: MarkJob) -> "Way":
        """The ways from the first `timed` marked images."""
        model, codec = model_at(made, job, job.marked.timed_at[0]), Codec(vae, max_batch=job.pictures)
        known = tree_rings.keys(job.seed, job.keys, made.shape, job.radius, symmetric=job.symmetric)
        batch = mark(model, codec, known, job.marked.timed, job.seed, job.model.quantised)
        methods = {name: BoundInverter.of(job, name, vae) for name in iterations_of(job)}
        return cls(model, job, batch, methods)

    def go(self, name: str, image: int) -> tuple[float, float]:
        """Seconds to the latents, and to x_T."""
        x, label = self.batch.x[image, None], self.batch.labels[image, None]
        watch = Stopwatch(self.job.device)
        z = inverted(self.methods[name], x, iterations_of(self.job)[name])
        decoded = watch.seconds()
        walked_back(self.model, self.job, self.job.marked.timed_at[1], {name: z}, label)
        return decoded, watch.seconds()

    def row(self, name: str, image: int, metric: str, value: float, unit: str) -> Row:
        """A record."""
        guidance, inversion = self.job.marked.timed_at
        about = {"guidance": guidance, "inversion": inversion, "method": name, "image": image}
        return {**about, "metric": metric, "value": value, "unit": unit}


def times(vae: nn.Module, made: LatentModel, job: MarkJob) -> list[Row]:
    """Records of time_s and its part decoder_s, the methods in turn; the first turn warms up."""
    way, rows = Way.of(vae, made, job), list[Row]()
    for turn in range(-1, job.marked.timed):
        for name in way.methods:
            decoder_s, time_s = way.go(name, max(turn, 0))
            if turn >= 0:
                rows += [way.row(name, turn, "decoder_s", decoder_s, "s"), way.row(name, turn, "time_s", time_s, "s")]
    return rows


def peaks(vae: nn.Module, made: LatentModel, job: MarkJob) -> list[Row]:
    """Records of peak_bytes, of all tensors that live at once on the way of one image, beside the weights.

    peak_bytes_ratio: the gradient-based method's over a method's. None where no image is timed.
    """
    if not job.marked.timed:
        return []
    way = Way.of(vae, made, job)
    with frozen():
        bytes_of = {name: peak_bytes(partial(way.go, name, 0))["peak"] for name in way.methods}
    rows = [way.row(name, 0, "peak_bytes", value, "bytes") for name, value in bytes_of.items()]
    if job.gradient in bytes_of:
        base = bytes_of.pop(job.gradient)
        rows += [way.row(name, 0, "peak_bytes_ratio", base / value, "") for name, value in bytes_of.items()]
    return rows


def iterations_of(job: MarkJob) -> dict[str, int]:
    """The iterations of the inverters that are timed."""
    return {name: count for name, count in job.marked.guidance[job.marked.timed_at[0]].items() if name != ORACLE}
