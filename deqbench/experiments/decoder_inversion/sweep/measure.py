"""Inversions of a model's targets by every method, rate and budget: errors by iteration, seconds, and both together."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from torch import Tensor, nn

from deqbench.data import autoencoders
from deqbench.decoder_inversion.codec import Codec, decibel
from deqbench.decoder_inversion.inverting import DecoderInversion, Plateau
from deqbench.experiments.decoder_inversion import target_files
from deqbench.experiments.decoder_inversion.methods import BoundInverter
from deqbench.experiments.decoder_inversion.sweep import frontier, timing
from deqbench.experiments.decoder_inversion.sweep.job import LadderJob, SweepJob, TimesJob
from deqbench.experiments.decoder_inversion.sweep.records import records, same_rate, traces
from deqbench.experiments.decoder_inversion.target_files import Targets
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row
from deqbench.records import read_frame

Rates = dict[int, float | None]  # by budget; None is the options' own
Run = tuple[float | None, int]  # rate and budget


def sweep(job: SweepJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Errors at the declared budgets (errors), and by iteration (traces), of every method on a model's test targets."""
    vae, targets = autoencoders.load(files.one("autoencoder")), target_files.load(files.one("targets"))
    rows, frame = swept(vae, targets, job, on_step)
    return {"errors": rows, "traces": frame}


def times(job: TimesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds of every method on one image at a time, methods in turn."""
    rows: list[Row] = []
    for name, timed in stepped(job.models.items(), on_step):
        vae = autoencoders.load(files.of("autoencoder", timed.model.autoencoder))
        test = target_files.load(files.of("targets", name))["test"]
        rows += [{"dataset": name, **row} for row in timing.times(name, vae, test, job)]
    return {"times": rows}


def ladder(job: LadderJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds to the declared budgets, to each level of error, and every setting with its place on the frontier."""
    whole, traced = read_frame(files.one("times")), read_frame(files.one("traces"))
    timed = whole[whole["dataset"] == job.dataset]
    clocked = frontier.clocked(traced, timed)
    longest = traced[traced["chosen"]].groupby("method")["iteration"].max()
    ran = {str(method): int(last) for method, last in longest.items()}
    return {
        "seconds": [*frontier.runtimes(timed, job.budgets, ran), *frontier.midway(clocked, job.ladder)],
        "ladder": frontier.climb(clocked, job.ladder),
        "points": frontier.points(clocked),
    }


def swept(
    vae: nn.Module, targets: dict[str, Targets], job: SweepJob, on_step: OnStep
) -> tuple[list[Row], pd.DataFrame]:
    """Records and traces of every method on the test targets, at rates chosen on the tuning targets."""
    vae, rows, frames = vae.to(job.device).eval(), list[Row](), list[pd.DataFrame]()
    reference = Codec(vae, max_batch=job.pictures)
    targets = targets | {"test": targets["test"].first(job.images or len(targets["test"].z))}
    images = {split: held.images(job.model.quantised).to(job.device) for split, held in targets.items()}
    declared = sorted({b for budgets in job.budgets.values() for b in budgets})
    for name in stepped(job.inverters, on_step):
        method = BoundInverter.of(job, name, vae)
        budgets = job.budgets[name]
        end = Plateau(job.plateau, job.within) if name in job.to_plateau and not method.scheduled else None
        ask = partial(method.invert, reference=reference, every=job.record_every, plateau=end)
        chosen = _chosen(method, budgets, partial(ask, images["tuning"], z_true=targets["tuning"].z.to(job.device)))
        runs = [
            traces(method, rate, budget, ask(images["test"], rate, budget, z_true=targets["test"].z), job)
            for rate, budget in _planned(method, budgets, chosen, job.all_rates)
        ]
        frame = pd.concat(runs, ignore_index=True)
        frame["chosen"] = _is_chosen(method, frame, chosen)
        frames.append(frame)
        rows += records(method, frame, budgets, chosen, declared)
    return rows, pd.concat(frames, ignore_index=True)


def _is_chosen(method: BoundInverter, frame: pd.DataFrame, chosen: Rates) -> list[bool]:
    """Whether each row is of a run at a chosen rate: of its own budget where the method is scheduled."""
    rates = {budget: method.own_rate(rate) for budget, rate in chosen.items()}
    return [
        any(same_rate(rate, own) for b, own in rates.items() if not method.scheduled or b == budget)
        for rate, budget in zip(frame["rate"].tolist(), frame["budget"].tolist(), strict=True)
    ]


def _planned(method: BoundInverter, budgets: list[int], chosen: Rates, all_rates: bool) -> list[Run]:
    """Rate and budget of each run on the test targets: of a method without schedule only the longest of each rate."""
    pairs = [(rate, b) for b in budgets for rate in (method.rates if all_rates else [chosen[b]])]
    if method.scheduled:
        return pairs
    longest: dict[float | None, int] = {}
    for rate, budget in pairs:
        longest[rate] = max(budget, longest.get(rate, 0))
    return list(longest.items())


def _chosen(method: BoundInverter, budgets: list[int], tuning: Callable[..., DecoderInversion]) -> Rates:
    """By budget, the rate of the least mean NMSE in dB on tuning targets; a run that is not finite is never chosen.

    tuning: of a rate and iterations, the run on those targets.
    """
    if len(method.rates) == 1:
        return dict.fromkeys(budgets, method.rates[0])
    errors: dict[int, dict[float | None, float]] = {budget: {} for budget in budgets}
    for rate in method.rates:
        for budget in budgets if method.scheduled else budgets[-1:]:
            nmse = tuning(rate, budget).nmse
            for b in [budget] if method.scheduled else budgets:
                errors[b][rate] = _mean_decibel(nmse[min(b, len(nmse) - 1)])
    return {budget: min(tried, key=lambda rate: tried[rate]) for budget, tried in errors.items()}


def _mean_decibel(ratio: Tensor) -> float:
    """Mean of dB over images, infinite where one is not finite."""
    mean = float(decibel(ratio).mean())
    return mean if mean == mean else float("inf")
