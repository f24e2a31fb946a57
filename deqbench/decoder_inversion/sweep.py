"""Inversions of a model's targets by every method, rate and budget: errors by iteration. Pure of files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from deqbench import jobs
from deqbench.config.decoder import DecoderInverter
from deqbench.decoder_inversion.codec import Codec, decibel
from deqbench.decoder_inversion.inverters import REGISTRY
from deqbench.decoder_inversion.inverting import DecoderInversion, Plateau, run
from deqbench.decoder_inversion.targets import Targets
from deqbench.metrics.intervals import t_interval

Row = dict[str, Any]
Rates = dict[int, float | None]  # by budget; None is the options' own
POSTERIOR = 20240  # added to the job's seed where E draws from its posterior


@dataclass
class Outcome:
    """What one job has found."""

    records: list[Row] = field(default_factory=list)
    traces: list[pd.DataFrame] = field(default_factory=list)


@dataclass(frozen=True)
class Method:
    """A method as it is run on one autoencoder."""

    name: str
    inverter: DecoderInverter
    vae: nn.Module
    seed: int
    max_batch: int

    @property
    def scheduled(self) -> bool:
        """Whether a run depends on how many iterations it is given, so that each budget is a run of its own."""
        options = jobs.decoder.method_options(self.inverter)
        by_budget = REGISTRY.about(self.inverter.inverter, "BY_BUDGET", False)
        return bool(by_budget) or options.get("schedule", "fixed") != "fixed"

    @property
    def rates(self) -> list[float | None]:
        """The rates tried; None is the options' own."""
        return [*self.inverter.rates] or [None]

    def options(self, rate: float | None) -> dict[str, Any]:
        """The inverter's settings at a rate."""
        return jobs.decoder.method_options(self.inverter) | ({} if rate is None else {self.inverter.rate: rate})

    def own_rate(self, rate: float | None) -> float:
        """The rate that a run has, NaN where the method has none."""
        return float(self.options(rate).get(self.inverter.rate, float("nan")))

    def codec(self) -> Codec:
        """The autoencoder as this method uses it."""
        generator = torch.Generator().manual_seed(POSTERIOR + self.seed) if self.inverter.released else None
        precision, state = self.inverter.precision, self.inverter.state
        copied = self.inverter.released and precision == "fp32"  # the released code copies where it casts to float
        return Codec(self.vae, precision, state=state, posterior=generator, copied=copied, max_batch=self.max_batch)

    def invert(
        self,
        x: Tensor,
        rate: float | None,
        iterations: int,
        reference: Codec,
        every: int | None,
        z_true: Tensor | None,
        plateau: Plateau | None = None,
    ) -> DecoderInversion:
        """One run. The true latents are for the trace, and for the plateau where the run is to end at it."""
        return run(
            self.inverter.inverter,
            self.codec(),
            x,
            self.options(rate),
            iterations,
            z_true=z_true,
            reference=reference,
            every=every,
            plateau=plateau,
        )


def sweep(
    vae: nn.Module,
    targets: dict[str, Targets],
    job: jobs.decoder.SweepJob,
    on_step: Callable[[int], None] | None = None,
) -> Outcome:
    """Records and traces of every method on the test targets, at rates chosen on the tuning targets."""
    vae = vae.to(job.device).eval()
    reference, out = Codec(vae, max_batch=job.pictures), Outcome()
    targets = targets | {"test": targets["test"].first(job.images or len(targets["test"].z))}
    images = {split: found.images(job.model.quantised).to(job.device) for split, found in targets.items()}
    for done, (name, inverter) in enumerate(job.inverters.items(), start=1):
        method = Method(name, inverter, vae, job.seed, job.pictures)
        budgets = job.budgets[name]
        end = Plateau(job.plateau, job.within) if name in job.to_plateau and not method.scheduled else None
        ask = partial(method.invert, reference=reference, every=job.record_every, plateau=end)
        chosen = _chosen(method, budgets, partial(ask, images["tuning"], z_true=targets["tuning"].z.to(job.device)))
        frames = [
            traces(method, rate, budget, ask(images["test"], rate, budget, z_true=targets["test"].z), job)
            for rate, budget in _planned(method, budgets, chosen, job.all_rates)
        ]
        frame = pd.concat(frames, ignore_index=True)
        frame["chosen"] = _is_chosen(method, frame, chosen)
        out.traces.append(frame)
        declared = sorted({b for found in job.budgets.values() for b in found})
        out.records += records(method, frame, budgets, chosen, declared)
        if on_step:
            on_step(done)
    return out


def _is_chosen(method: Method, frame: pd.DataFrame, chosen: Rates) -> list[bool]:
    """Which rows are of a run at a chosen rate: of its own budget where the method is scheduled."""
    rates = {budget: method.own_rate(rate) for budget, rate in chosen.items()}
    return [
        any(same_rate(rate, own) for b, own in rates.items() if not method.scheduled or b == budget)
        for rate, budget in zip(frame["rate"].tolist(), frame["budget"].tolist(), strict=True)
    ]


def _planned(method: Method, budgets: list[int], chosen: Rates, all_rates: bool) -> list[tuple[float | None, int]]:
    """Rate and budget of each run on the test targets: of a method without schedule only the longest of each rate."""
    pairs = [(rate, b) for b in budgets for rate in (method.rates if all_rates else [chosen[b]])]
    if method.scheduled:
        return pairs
    longest: dict[float | None, int] = {}
    for rate, budget in pairs:
        longest[rate] = max(budget, longest.get(rate, 0))
    return list(longest.items())


def _chosen(method: Method, budgets: list[int], tuning: Callable[[float | None, int], DecoderInversion]) -> Rates:
    """By budget, the rate of the least mean NMSE in dB on tuning targets; a run that is not finite is never chosen.

    tuning: of a rate and iterations, the run on those targets.
    """
    if len(method.rates) == 1:
        return dict.fromkeys(budgets, method.rates[0])
    errors: dict[int, dict[float | None, float]] = {budget: {} for budget in budgets}
    for rate in method.rates:
        for budget in budgets if method.scheduled else budgets[-1:]:
            found = tuning(rate, budget)
            for b in [budget] if method.scheduled else budgets:
                errors[b][rate] = _mean_decibel(found.nmse[min(b, len(found.nmse) - 1)])
    return {budget: min(tried, key=lambda rate: tried[rate]) for budget, tried in errors.items()}


def _mean_decibel(ratio: Tensor) -> float:
    """Mean of dB over images, infinite where one is not finite."""
    mean = float(decibel(ratio).mean())
    return mean if mean == mean else float("inf")


def same_rate(left: float, right: float) -> bool:
    """Whether two rates are one, NaN and NaN too."""
    return left == right or (left != left and right != right)


def traces(method: Method, rate: float | None, budget: int, found: DecoderInversion, job: Any) -> pd.DataFrame:
    """One row an image and traced iteration of a run: nmse, relative residual, squared pixel error (NaN: not known)."""
    last = len(found.seconds) - 1
    budgets = job.budgets[method.name]
    kept = [k for k in range(last + 1) if k <= job.dense or k % job.record_every == 0 or k in budgets or k == last]
    shape = len(kept), found.nmse.shape[1]
    columns = {"nmse": found.nmse, "residual": found.residuals, "loss": found.losses}
    return pd.DataFrame(
        {
            "method": method.name,
            "precision": method.inverter.precision,
            "rate": method.own_rate(rate),
            "budget": budget,
            "iteration": np.repeat(kept, shape[1]),
            "image": np.tile(np.arange(shape[1]), shape[0]),
            **{name: values[kept].flatten().numpy() for name, values in columns.items()},
        }
    )


def records(
    method: Method, frame: pd.DataFrame, budgets: list[int], chosen: Rates, declared: list[int]
) -> Iterator[Row]:
    """Errors at the declared budgets, at the chosen rate. The encoder, which has no iterations, stands at each one."""
    has_none = frame["iteration"].max() == 0
    for budget in declared if has_none else budgets:
        rate = method.own_rate(chosen[budgets[0] if has_none else budget])
        longest = budgets[-1] if has_none else budget if method.scheduled else None
        runs = frame[[same_rate(found, rate) for found in frame["rate"]]]
        runs = runs[runs["budget"] == (longest if longest is not None else runs["budget"].max())]
        at = runs[runs["iteration"] == min(budget, runs["iteration"].max())]
        about = {"method": method.name, "precision": method.inverter.precision, "rate": rate, "iterations": budget}
        yield from ({**about, **row} for row in _errors(at))
        yield {**about, "metric": "iterations_run", "value": int(at["iteration"].max()), "unit": "iterations"}


def _errors(at: pd.DataFrame) -> Iterator[Row]:
    """Metrics of each image, and the dB of the mean with its interval."""
    for row in at.to_dict("records"):
        level = 10 * float(np.log10(row["nmse"]))
        about = {"image": row["image"]}
        yield {**about, "metric": "nmse", "value": row["nmse"], "unit": ""}
        yield {**about, "metric": "nmse_db", "value": level, "unit": "dB"}
        yield {**about, "metric": "residual", "value": row["residual"], "unit": ""}
        yield {**about, "metric": "diverged", "value": float(not np.isfinite(row["nmse"])), "unit": ""}
        yield {**about, "metric": "rate", "value": row["rate"], "unit": ""}
    values = at["nmse"].to_numpy(dtype=float)
    low, high = t_interval(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = 10 * np.log10(values.mean())
        reach = (
            10 / np.log(10) * (high - low) / 2 / values.mean()
        )  # to first order: the interval itself may reach below 0
    about = {"metric": "nmse_mean_db", "unit": "dB", "low": mean - reach, "high": mean + reach, "n": len(values)}
    yield {"value": mean, **about}
