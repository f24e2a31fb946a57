"""Watermarked images told apart by the x_T that inversions lead to. Source: section 5, table 2."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from deqbench.decoder_inversion import tree_rings
from deqbench.decoder_inversion.codec import Codec, decibel, nmse, quantised
from deqbench.decoder_inversion.latent_models import LatentModel, classes
from deqbench.decoder_inversion.noise_inversion import Recovered, recovered
from deqbench.diffusion import noise
from deqbench.experiments.decoder_inversion.methods import BoundInverter, inverted
from deqbench.experiments.decoder_inversion.models import device_of, labels_of
from deqbench.experiments.decoder_inversion.shared import ORACLE
from deqbench.experiments.decoder_inversion.watermark.job import MarkJob
from deqbench.experiments.files import OnStep
from deqbench.experiments.rows import Row
from deqbench.metrics.pairs import gained

MARKED = 20_000  # the number of the first marked image: its noise is no target's
CHANCE = "chance"


@dataclass(frozen=True)
class Marked:
    """B images whose noise carries a key."""

    which: Tensor  # (B,) int64, the key
    labels: Tensor  # (B,) int64, the condition
    x_T: Tensor  # (B, c, h, w)
    z: Tensor  # (B, c, h, w)
    x: Tensor  # (B, 3, H, W), as the inverters see it


@dataclass
class Outcome:
    """The records of one job, and its pictures."""

    records: list[Row] = field(default_factory=list)  # at the guidance and by the way to x_T that are timed
    study: list[Row] = field(default_factory=list)  # at all of them
    pictures: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def mark(model: LatentModel, codec: Codec, known: Tensor, count: int, seed: int, to_8_bit: bool) -> Marked:
    """The first `count` marked images; the keys take turns, and after each round the classes."""
    numbers = range(MARKED, MARKED + count)
    which = torch.arange(count) % len(known)
    labels = labels_of([number // len(known) for number in range(count)], classes(model.network) - 1)
    device = device_of(model.network.net)
    x_T = tree_rings.marked(noise.x_T(seed, numbers, model.shape), known[which])
    z = model.latents(x_T.to(device), labels.to(device))
    x = codec.decode(z)
    return Marked(which, labels.to(device), x_T, z, quantised(x) if to_8_bit else x)


def model_at(made: LatentModel, job: MarkJob, guidance: float) -> LatentModel:
    """The model at a guidance and with the job's number of steps."""
    return replace(made, guidance=guidance, steps=job.marked.steps or made.steps)


def run(vae: nn.Module, made: LatentModel, job: MarkJob, on_step: OnStep) -> Outcome:
    """Records of every decoder inverter and every way to x_T at every guidance, and the rings of the images shown."""
    known = tree_rings.keys(job.seed, job.keys, made.shape, job.radius, symmetric=job.symmetric)
    codec, out, done = Codec(vae, max_batch=job.pictures), Outcome(), 0
    total = sum(map(len, job.marked.guidance.values()))
    for guidance, iterations in job.marked.guidance.items():
        model = model_at(made, job, guidance)
        batch = mark(model, codec, known, job.marked.images, job.seed, job.model.quantised)
        latents = {ORACLE: batch.z}
        for name, budget in iterations.items():
            latents[name] = inverted(BoundInverter.of(job, name, vae), batch.x, budget)
            done += 1
            on_step(done, total)
        for way in job.marked.inversions:
            back = walked_back(model, job, way, latents, batch.labels)
            rows = [
                {"guidance": guidance, "inversion": way, **row}
                for row in judged(back, latents, batch, known, job, iterations)
            ]
            out.study += rows
            if (guidance, way) == job.marked.timed_at:
                out.records, out.pictures = rows, pictures(back, batch, known, job.shown)
    return out


def judged(
    back: dict[str, Recovered],
    latents: dict[str, Tensor],
    batch: Marked,
    known: Tensor,
    job: MarkJob,
    iterations: dict[str, int],
) -> Iterator[Row]:
    """The records of all methods at one guidance, by one way to x_T, with the row of mere chance."""
    for name, walked in back.items():
        yield from ({"method": name, **row} for row in _rows(walked, latents[name], batch, known))
        if name in iterations:
            value = {"metric": "iterations_run", "value": iterations[name], "unit": "iterations"}
            yield {"method": name, **value}
    n, level = len(next(iter(back.values())).x_T), 1 / len(known)
    chance = {"value": level, "low": level, "high": level, "n": n, "note": f"one of {len(known)} keys, drawn blindly"}
    yield {"method": CHANCE, "metric": "correct", "unit": "", **chance}
    yield from compared({name: _hits(walked, batch, known) for name, walked in back.items()}, job.encoder, job.gradient)


def walked_back(
    model: LatentModel, job: MarkJob, way: str, latents: dict[str, Tensor], labels: Tensor
) -> dict[str, Recovered]:
    """The chains that lead to each method's latents, walked back together."""
    settings = job.inversions[way]
    n = min(settings.images or len(labels), len(labels))
    together = torch.cat([z[:n] for z in latents.values()])
    back = recovered(model, together, labels[:n].repeat(len(latents)), **settings.options)
    parts = zip(latents, zip(*(x.split(n) for x in back.states), strict=True), back.residual.split(n), strict=True)
    return {name: Recovered(list(states), residual) for name, states, residual in parts}


def _hits(walked: Recovered, batch: Marked, known: Tensor) -> Tensor:
    n = len(walked.x_T)
    return tree_rings.classified(walked.x_T.cpu(), known) == batch.which[:n]


def _rows(walked: Recovered, z: Tensor, batch: Marked, known: Tensor) -> Iterator[Row]:
    """Metrics of each image of one method."""
    n, x_T = len(walked.x_T), walked.x_T.cpu()
    predicted = tree_rings.classified(x_T, known)
    wanted = batch.which[:n]
    p = tree_rings.p_values(x_T, known[wanted])
    z_error = decibel(nmse(z[:n].cpu(), batch.z[:n].cpu()))
    x_error = decibel(nmse(x_T, batch.x_T[:n]))
    for image in range(n):
        about = {"image": image, "key": int(wanted[image])}
        yield {**about, "metric": "correct", "value": float(predicted[image] == wanted[image]), "unit": ""}
        yield {**about, "metric": "predicted", "value": int(predicted[image]), "unit": ""}
        yield {**about, "metric": "p_value", "value": float(p[image]) if p[image] == p[image] else 1.0, "unit": ""}
        yield {**about, "metric": "detected", "value": float(p[image] < 0.01), "unit": ""}
        yield {**about, "metric": "diverged", "value": float(not x_T[image].isfinite().all()), "unit": ""}
        yield {**about, "metric": "residual", "value": float(walked.residual[image]), "unit": ""}
        yield {**about, "metric": "x_T_nmse_db", "value": float(x_error[image]), "unit": "dB"}
        if z_error[image].isfinite():
            yield {**about, "metric": "nmse_db", "value": float(z_error[image]), "unit": "dB"}


def compared(hits: dict[str, Tensor], encoder: str, gradient: str) -> Iterator[Row]:
    """Differences in accuracy to the encoder and to the gradient-based method, over the same images."""
    for metric, base in (("over_encoder", encoder), ("over_gradient", gradient)):
        for name, mine in hits.items():
            if base in hits and name not in (base, ORACLE):
                yield {"method": name, "metric": metric, "unit": "", **gained(mine.numpy(), hits[base].numpy())}


def pictures(back: dict[str, Recovered], batch: Marked, known: Tensor, shown: int) -> dict[str, Tensor]:
    """Tensors to draw: `<method>/confusion` (K, K + 1), images by true and found key, none at the end; and the rings.

    Rings are real parts of the first channel's coefficients, NaN outside: of the `key` and of the `true` noise, and
    `<method>/rings`, all (n, h, w); `<method>/distance` and `<method>/predicted`, (n,), belong to the last ones.
    """
    wanted = batch.which[:shown]
    inside = ~known[0, 0].isnan()

    def rings(x_T: Tensor) -> Tensor:
        return tree_rings.spectrum(x_T[:shown].cpu())[:, 0].real.where(inside, float("nan")).float()

    drawn = {"key": known[wanted, 0].real.float(), "true": rings(batch.x_T), "which": wanted}
    for name, walked in back.items():
        x_T, number = walked.x_T.cpu(), len(known)
        predicted = tree_rings.classified(x_T, known)
        pairs = batch.which[: len(x_T)] * (number + 1) + predicted.where(predicted >= 0, number)
        drawn[f"{name}/confusion"] = pairs.bincount(minlength=number * (number + 1)).view(number, number + 1)
        drawn[f"{name}/rings"], drawn[f"{name}/predicted"] = rings(x_T), predicted[:shown]
        drawn[f"{name}/distance"] = tree_rings.distances(x_T[:shown], known)[range(len(wanted)), wanted]
    return drawn
