"""Inversions of test images by every method: losses by update, at each method's best rate. Pure of files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from deqbench import jobs
from deqbench.config.inversion import Inverter
from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.diffusion import experiments
from deqbench.diffusion.attempts import Attempt, Problem, attempts, best_rate, dense, evaluate, problem
from deqbench.diffusion.comparison import CALIBRATION

THRESHOLDS = (0.5, 2.0)  # where the paper's runs stop. Source: DEQ-DDIM, appendix A

Row = dict[str, Any]


@dataclass
class Outcome:
    """What one job has found."""

    records: list[Row] = field(default_factory=list)
    traces: list[Row] = field(default_factory=list)
    pictures: dict[str, Tensor] = field(default_factory=dict)


def run(network: Network, data: Dataset, job: jobs.Invert, on_step: Callable[[int], None] | None = None) -> Outcome:
    """Records, traces and pictures of every method on one data set at one T, at every eta."""
    network.net.requires_grad_(False)  # gradients are taken with respect to x_T alone
    eps, out, done = experiments.predictor(network, job.device, job.max_batch), Outcome(), 0
    images = [*range(job.chains.images), *range(CALIBRATION, CALIBRATION + job.chains.tuning)]
    for at, eta in enumerate(job.eta or [0.0]):
        found = problem(network, eps, data, job.grid, job.T, eta, job.seed, images)
        for name in job.inverters:
            keys = {"method": name, "T": job.T, **({"eta": eta} if job.eta else {})}
            epochs = job.epochs[name][at]
            updates = shown_updates(job, epochs)
            chosen = _one(found, job, name, epochs, updates, keys, out)
            if job.chains.shown:
                _show(found, job, chosen, f"{name}@{eta:g}", updates, out)
            if name == job.baseline and job.chains.longer:
                _longer(network, data, job, eta, chosen, keys, out)
            done += 1
            if on_step:
                on_step(done)
    if job.chains.shown:
        out.pictures |= {"target": found.target[: job.chains.shown].cpu()}
        out.pictures |= {"updates": torch.tensor(shown_updates(job, max(job.epochs[job.baseline])))}
    return out


def shown_updates(job: jobs.Invert, epochs: int) -> list[int]:
    """Updates of the first image that are shown, the baseline's last one among them; none after `epochs`."""
    last = max(job.epochs[job.baseline])
    return [min(number, epochs) for number in (*(n for n in job.chains.updates if n < last), last)]


def _one(
    found: Problem, job: jobs.Invert, name: str, epochs: int, updates: list[int], keys: Row, out: Outcome
) -> list[Attempt]:
    """Adds what one method finds; its attempts at the test images at the chosen rate."""
    inverter, rates, images = job.inverters[name], job.rates[name], job.chains.images

    def wanted(number: int) -> bool:
        return dense(number, job.chains.record_every) or number in updates

    batch, chosen = job.chains.batch or job.max_batch, rates[0] if rates else None
    if len(rates) > 1:
        others = found.select(range(images, len(found.target)))
        chosen = best_rate(attempts(others, inverter, rates, epochs, lambda _: False, 0, batch))
    here = found.select(range(images))
    if not job.chains.all_rates:
        rates = [rate for rate in rates if rate in {chosen, job.paper_rate}]
    tried = attempts(here, inverter, rates, epochs, wanted, images, batch)
    for (rate, image), attempt in tried.items():
        about = {**keys, "image": image}
        out.traces += [about | row for row in traces(attempt, rate, rate == chosen)]
        rows = list(records(attempt, inverter, chosen, epochs)) if rate == chosen else []
        if rate == job.paper_rate:
            rows.append(("min_loss_paper_rate", attempt.least, ""))
        out.records += [{**about, "metric": metric, "value": value, "unit": unit} for metric, value, unit in rows]
    return [tried[chosen, image] for image in range(images)]


def records(attempt: Attempt, inverter: Inverter, lr: float | None, epochs: int) -> Iterator[tuple[str, float, str]]:
    """Metric, value and unit of one image at the chosen rate."""
    values = attempt.x_T.flatten().double()
    yield "initial_loss", attempt.losses.get(0, float("nan")), ""
    yield "min_loss", attempt.least, ""
    for level in THRESHOLDS:
        yield f"reached_{level:g}", float(attempt.least <= level), ""
    yield "norm2", float(values.square().mean()), ""
    # Kolmogorov and Smirnov's test asks for N(0, 1) itself, its mean and variance too, and is exact for few values.
    yield "normal_p", float(stats.kstest(values.numpy(), "norm").pvalue) if values.isfinite().all() else 0.0, ""
    yield "diverged", float(attempt.diverged), ""
    per = " / update" if inverter.descends else ""
    yield "nfe", attempt.nfe, f"evaluations{per}"
    yield "vjps", attempt.vjps, f"products{per}"
    if inverter.descends:
        yield "lr", lr or 0.0, ""
        yield "epochs", epochs, "updates"
        for level in THRESHOLDS:
            yield f"epochs_to_{level:g}", attempt.first_below(level, epochs + 1), "updates"
        own = min((value for value in attempt.own if value == value), default=float("nan"))
        yield "solver_gap", abs(own - attempt.returned) / attempt.returned, ""


def traces(attempt: Attempt, lr: float | None, chosen: bool) -> Iterator[Row]:
    """Losses of one image at one rate by update: the sequential chain's, and the method's own where it has one."""
    about = {"lr": lr, "chosen": chosen, "unit": ""}
    for number, value in sorted(attempt.losses.items()):
        yield {**about, "epoch": number, "metric": "loss", "value": value}
        if number < len(attempt.own):
            yield {**about, "epoch": number, "metric": "solver_loss", "value": attempt.own[number]}


def _show(found: Problem, job: jobs.Invert, chosen: list[Attempt], key: str, updates: list[int], out: Outcome) -> None:
    """Adds the reconstructions of the images shown, and those of the first one's updates."""
    count = job.chains.shown
    best = [attempt.x_T for attempt in chosen[:count]]
    out.pictures[f"{key}/best"], _ = evaluate(found, list(range(count)), best, job.max_batch)
    if chosen[0].own:  # a descent
        steps = [chosen[0].after(number) for number in updates]
        out.pictures[f"{key}/updates"], _ = evaluate(found, [0] * len(steps), steps, job.max_batch)


def _longer(
    network: Network, data: Dataset, job: jobs.Invert, eta: float, chosen: list[Attempt], keys: Row, out: Outcome
) -> None:
    """Adds what the latents become in a chain of more steps than they were sought with."""
    steps, images = job.chains.longer or job.T, list(range(len(chosen)))
    eps = experiments.predictor(network, job.device, job.max_batch)
    found = problem(network, eps, data, job.grid, steps, eta, job.seed, images)
    x0, losses = evaluate(found, images, [attempt.x_T for attempt in chosen], job.max_batch)
    out.records += [
        {**keys, "image": image, "metric": "longer_loss", "value": value, "unit": ""}
        for image, value in zip(images, losses, strict=True)
    ]
    if job.chains.shown:
        out.pictures[f"{keys['method']}@{eta:g}/longer"] = x0[: job.chains.shown]
