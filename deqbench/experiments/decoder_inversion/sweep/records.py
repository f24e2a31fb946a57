"""Errors of inversions, by iteration as traces and at the declared budgets as records."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from deqbench.decoder_inversion.inverting import DecoderInversion
from deqbench.experiments.decoder_inversion.methods import BoundInverter
from deqbench.experiments.decoder_inversion.sweep.job import SweepJob
from deqbench.experiments.rows import Row
from deqbench.metrics.intervals import t_interval


def same_rate(left: float, right: float) -> bool:
    """Whether two rates are one, NaN and NaN too."""
    return left == right or (left != left and right != right)


def traces(
    method: BoundInverter, rate: float | None, budget: int, ran: DecoderInversion, job: SweepJob
) -> pd.DataFrame:
    """One row an image and traced iteration of a run: nmse, relative residual, squared pixel error (NaN: not known)."""
    last = len(ran.seconds) - 1
    budgets = job.budgets[method.name]
    kept = [k for k in range(last + 1) if k <= job.dense or k % job.record_every == 0 or k in budgets or k == last]
    shape = len(kept), ran.nmse.shape[1]
    columns = {"nmse": ran.nmse, "residual": ran.residuals, "loss": ran.losses}
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
    method: BoundInverter, frame: pd.DataFrame, budgets: list[int], chosen: dict[int, float | None], declared: list[int]
) -> Iterator[Row]:
    """Errors at the declared budgets, at the chosen rate. The encoder, which has no iterations, stands at each one."""
    has_none = frame["iteration"].max() == 0
    for budget in declared if has_none else budgets:
        rate = method.own_rate(chosen[budgets[0] if has_none else budget])
        longest = budgets[-1] if has_none else budget if method.scheduled else None
        runs = frame[[same_rate(own, rate) for own in frame["rate"]]]
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
        # to first order: the interval itself may reach below 0
        reach = 10 / np.log(10) * (high - low) / 2 / values.mean()
    about = {"metric": "nmse_mean_db", "unit": "dB", "low": mean - reach, "high": mean + reach, "n": len(values)}
    yield {"value": mean, **about}
