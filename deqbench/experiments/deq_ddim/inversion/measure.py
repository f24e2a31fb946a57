"""Inversions of test images by every method: losses by update, at each method's best rate; seconds; both together."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from deqbench.data import checkpoints, datasets
from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.experiments.deq_ddim.chains import CALIBRATION, predictor
from deqbench.experiments.deq_ddim.inversion import races
from deqbench.experiments.deq_ddim.inversion.job import RaceJob, RunJob, TimeJob
from deqbench.experiments.deq_ddim.inversion.trials import Trial, best_rate, dense, evaluate, trials
from deqbench.experiments.deq_ddim.shared import Inverter
from deqbench.experiments.deq_ddim.targets import Targets, targets
from deqbench.experiments.files import Files, OnStep
from deqbench.experiments.rows import Row, of_images
from deqbench.records import read_frame

THRESHOLDS = (0.5, 2.0)  # where the paper's runs stop. Source: DEQ-DDIM, appendix A


@dataclass
class Outcome:
    """Rows and pictures of one job."""

    records: list[Row] = field(default_factory=list)
    traces: list[Row] = field(default_factory=list)
    pictures: dict[str, Tensor] = field(default_factory=dict)


def run(job: RunJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Records, traces and pictures of every method on one data set at one T, its rate chosen on tuning images."""
    out = outcome(checkpoints.load(files.one("weights")), datasets.load(files.one("dataset")), job, on_step)
    words = {
        "dataset": job.dataset,
        "T": str(job.T),
        "methods": ",".join(job.inverters),
        "eta": ",".join(f"{eta:g}" for eta in job.eta or [0.0]),
        "longer": str(job.chains.longer or ""),
    }
    return {"records": out.records, "traces": out.traces, "pictures": (out.pictures, words)}


def time(job: TimeJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds of an update, or of a whole run, of every method (records), and after each step (traces)."""
    records: list[Row] = []
    traces: list[Row] = []
    total = sum(map(len, job.chains.values())) * max(1, len(job.eta))
    done = 0
    for dataset in job.chains:
        network, data = checkpoints.load(files.of("weights", dataset)), datasets.load(files.of("dataset", dataset))
        for told in races.times(network, data, job, dataset):
            done += 1
            for rows, more in zip((records, traces), told, strict=True):
                rows += [{"dataset": dataset, **row} for row in more]
            on_step(done, total)
    return {"records": records, "traces": traces}


def race(job: RaceJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Loss against seconds: who reaches the baseline's smallest loss when, and who is where at equal seconds."""
    runs, losses = (pd.concat(map(read_frame, files.all(name))) for name in ("records", "traces"))
    records, curves = races.race(runs, losses, read_frame(files.one("times")), read_frame(files.one("steps")), job)
    return {"records": records, "traces": curves}


def outcome(network: Network, data: Dataset, job: RunJob, on_step: OnStep) -> Outcome:
    """Records, traces and pictures of every method on one data set at one T, at every eta."""
    network.net.requires_grad_(False)  # gradients are taken with respect to x_T alone
    eps, out, done = predictor(network, job.device, job.max_batch), Outcome(), 0
    total = len(job.inverters) * max(1, len(job.eta))
    images = [*range(job.chains.images), *range(CALIBRATION, CALIBRATION + job.chains.tuning)]
    for at, eta in enumerate(job.eta or [0.0]):
        sought = targets(network, eps, data, job.grid, job.T, eta, job.seed, images)
        for name in job.inverters:
            keys = {"method": name, "T": job.T, **({"eta": eta} if job.eta else {})}
            epochs = job.epochs[name][at]
            updates = shown_updates(job, epochs)
            chosen = _one(sought, job, name, epochs, updates, keys, out)
            if job.chains.shown:
                _show(sought, job, chosen, f"{name}@{eta:g}", updates, out)
            if name == job.baseline and job.chains.longer:
                _longer(network, data, job, eta, chosen, keys, out)
            done += 1
            on_step(done, total)
    if job.chains.shown:
        out.pictures |= {"target": sought.images[: job.chains.shown].cpu()}
        out.pictures |= {"updates": torch.tensor(shown_updates(job, max(job.epochs[job.baseline])))}
    return out


def shown_updates(job: RunJob, epochs: int) -> list[int]:
    """Updates of the first image that are shown, the baseline's last one among them; none after `epochs`."""
    last = max(job.epochs[job.baseline])
    return [min(number, epochs) for number in (*(n for n in job.chains.updates if n < last), last)]


def _one(
    sought: Targets, job: RunJob, name: str, epochs: int, updates: list[int], keys: Row, out: Outcome
) -> list[Trial]:
    """Adds what one method finds; its trials at the test images at the chosen rate."""
    inverter, rates, images = job.inverters[name], job.rates[name], job.chains.images

    def wanted(number: int) -> bool:
        return dense(number, job.chains.record_every) or number in updates

    batch, chosen = job.chains.batch or job.max_batch, rates[0] if rates else None
    if len(rates) > 1:
        others = sought.select(range(images, len(sought.images)))
        chosen = best_rate(trials(others, inverter, rates, epochs, lambda _: False, 0, batch))
    here = sought.select(range(images))
    if not job.chains.all_rates:
        rates = [rate for rate in rates if rate in {chosen, job.paper_rate}]
    tried = trials(here, inverter, rates, epochs, wanted, images, batch)
    for (rate, image), trial in tried.items():
        about = {**keys, "image": image}
        out.traces += [about | row for row in traces(trial, rate, rate == chosen)]
        rows = list(records(trial, inverter, chosen, epochs)) if rate == chosen else []
        if rate == job.paper_rate:
            rows.append(("min_loss_paper_rate", trial.least, ""))
        out.records += [{**about, "metric": metric, "value": value, "unit": unit} for metric, value, unit in rows]
    return [tried[chosen, image] for image in range(images)]


def records(trial: Trial, inverter: Inverter, lr: float | None, epochs: int) -> Iterator[tuple[str, float, str]]:
    """Metric, value and unit of one image at the chosen rate."""
    values = trial.x_T.flatten().double()
    yield "initial_loss", trial.losses.get(0, float("nan")), ""
    yield "min_loss", trial.least, ""
    for level in THRESHOLDS:
        yield f"reached_{level:g}", float(trial.least <= level), ""
    yield "norm2", float(values.square().mean()), ""
    # Kolmogorov and Smirnov's test asks for N(0, 1) itself, its mean and variance too, and is exact for few values.
    yield "normal_p", float(stats.kstest(values.numpy(), "norm").pvalue) if values.isfinite().all() else 0.0, ""
    yield "diverged", float(trial.diverged), ""
    per = " / update" if inverter.descends else ""
    yield "nfe", trial.nfe, f"evaluations{per}"
    yield "vjps", trial.vjps, f"products{per}"
    if inverter.descends:
        yield "lr", lr or 0.0, ""
        yield "epochs", epochs, "updates"
        for level in THRESHOLDS:
            yield f"epochs_to_{level:g}", trial.first_below(level, epochs + 1), "updates"
        own = min((value for value in trial.own if value == value), default=float("nan"))
        yield "solver_gap", abs(own - trial.returned) / trial.returned, ""


def traces(trial: Trial, lr: float | None, chosen: bool) -> Iterator[Row]:
    """Losses of one image at one rate by update: the sequential chain's, and the method's own where it has one."""
    about = {"lr": lr, "chosen": chosen, "unit": ""}
    for number, value in sorted(trial.losses.items()):
        yield {**about, "epoch": number, "metric": "loss", "value": value}
        if number < len(trial.own):
            yield {**about, "epoch": number, "metric": "solver_loss", "value": trial.own[number]}


def _show(sought: Targets, job: RunJob, chosen: list[Trial], key: str, updates: list[int], out: Outcome) -> None:
    """Adds the reconstructions of the images shown, and those of the first one's updates."""
    count = job.chains.shown
    best = [trial.x_T for trial in chosen[:count]]
    out.pictures[f"{key}/best"], _ = evaluate(sought, list(range(count)), best, job.max_batch)
    if chosen[0].own:  # a descent
        steps = [chosen[0].after(number) for number in updates]
        out.pictures[f"{key}/updates"], _ = evaluate(sought, [0] * len(steps), steps, job.max_batch)


def _longer(
    network: Network, data: Dataset, job: RunJob, eta: float, chosen: list[Trial], keys: Row, out: Outcome
) -> None:
    """Adds what the latents become in a chain of more steps than they were sought with."""
    steps, images = job.chains.longer or job.T, list(range(len(chosen)))
    eps = predictor(network, job.device, job.max_batch)
    sought = targets(network, eps, data, job.grid, steps, eta, job.seed, images)
    x0, losses = evaluate(sought, images, [trial.x_T for trial in chosen], job.max_batch)
    out.records += of_images({"longer_loss": losses}, **keys)
    if job.chains.shown:
        out.pictures[f"{keys['method']}@{eta:g}/longer"] = x0[: job.chains.shown]
