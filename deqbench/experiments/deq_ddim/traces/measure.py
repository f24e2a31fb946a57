"""The joint solve round by round: residual and error of x0 after each."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from deqbench.data import checkpoints
from deqbench.data.checkpoints import Network
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.chains import at_each, chain, groups, predictor
from deqbench.experiments.deq_ddim.traces.job import Traced, TraceJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.metrics.errors import TARGET, relative_error

UNITS = {"residual": "2-norm", "relative_residual": "", "x0_error": ""}
PAPER_ROUNDS = 15
GOOD = 0.05  # below what the eye sees


def trace(job: TraceJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Residual and error of x0 after each round, per image (traces), and what they come to (summary)."""
    network, planned, parts = checkpoints.load(files.one("weights")), chains(job), []
    for name, traced, T in stepped(planned, on_step):
        part = rounds(network, job, traced, T)
        parts.append(part.assign(method=name, eta=traced.method.eta, T=T))
    traces = pd.concat(parts, ignore_index=True)
    return {"traces": traces, "summary": summary(traces)}


def chains(job: TraceJob) -> list[tuple[str, Traced, int]]:
    """Name, method at its eta and T of every trace."""
    return [
        (name, job.methods[name].model_copy(update={"method": method}), T)
        for methods in at_each({name: traced.method for name, traced in job.methods.items()}, job.eta)
        for name, method in methods.items()
        for T in sorted(job.methods[name].runs)
    ]


@torch.inference_mode()
def rounds(network: Network, job: TraceJob, traced: Traced, T: int) -> pd.DataFrame:
    """Rows image, round, metric, value, unit: residuals, x0's relative error to the sequential chain; no early stop.

    UserError: a method that is no joint solve.
    """
    method = traced.method
    if method.sampler != "joint":
        raise UserError(f"{job.experiment}.methods: expected a method whose sampler is joint; found {method.sampler}")
    eps = predictor(network, job.device, job.max_batch)
    options = {**method.options, "tol": 0.0, "max_iter": traced.rounds}
    rows: list[dict[str, Any]] = []
    for group in groups(range(traced.runs[T]), T):
        made = chain(network, eps, method, job.grid, T, job.seed, group)
        exact = sample("sequential", made, {}).x0

        def on_round(done: Round, exact: Tensor = exact, group: range = group) -> None:
            if done.absolute is None or done.relative is None:
                raise AssertionError("the joint sampler tells its residuals")
            errors = relative_error(done.x0, exact[done.samples])
            traced = {"residual": done.absolute, "relative_residual": done.relative, "x0_error": errors}
            for metric, values in traced.items():
                for i, value in zip(done.samples.tolist(), values.tolist(), strict=True):
                    keys = {"image": group[i], "round": done.number}
                    rows.append({**keys, "metric": metric, "value": value, "unit": UNITS[metric]})

        sample("joint", made, options, on_round)
    return pd.DataFrame(rows)


def summary(traces: pd.DataFrame) -> list[dict[str, Any]]:
    """Records per method, eta, T and image, in the traces' last round or, where it stopped earlier, its own last.

    The residual: at first, at last, and the last over the first. rounds_to_1e-3 is the round from which the error of x0
    stays below 1e-3; one more than the rounds run where it never does. Where so many rounds were recorded: the residual
    and the error after 15, whether the error is below 0.05 then, and the error after T.
    """
    rows = []
    by = ["method", "eta", "T"]
    traces = traces.assign(recorded=traces.groupby(by)["round"].transform("max"))
    for key, part in traces.groupby([*by, "image"], sort=True):
        keys = dict(zip((*by, "image"), key, strict=True))
        by_metric = {metric: p.sort_values("round")["value"].to_numpy() for metric, p in part.groupby("metric")}
        values = _summed_up(by_metric["residual"], by_metric["x0_error"], steps=int(part["T"].iloc[0]))
        recorded = int(part["recorded"].iloc[0])
        values = {name: told for name, told in values.items() if told[2] <= recorded}
        rows += [{**keys, "metric": name, "value": value, "unit": unit} for name, (value, unit, _) in values.items()]
    return rows


def _after(values: NDArray[np.float64], rounds: int) -> float:
    """The value after so many rounds, or the last one of a solve that had come to rest before."""
    return float(values[min(rounds, len(values)) - 1])


def _summed_up(
    residual: NDArray[np.float64], error: NDArray[np.float64], steps: int
) -> dict[str, tuple[float, str, int]]:
    """Value, unit and rounds needed by metric of one trace."""
    above = (error >= TARGET).nonzero()[0]
    after_15 = _after(error, PAPER_ROUNDS)
    return {
        "residual_first": (residual[0], "2-norm", 1),
        "residual_15": (_after(residual, PAPER_ROUNDS), "2-norm", PAPER_ROUNDS),
        "residual_last": (residual[-1], "2-norm", 1),
        "residual_left": (residual[-1] / residual[0], "", 1),
        "x0_error_15": (after_15, "", PAPER_ROUNDS),
        "good_15": (float(after_15 < GOOD), "", PAPER_ROUNDS),
        "x0_error_T": (_after(error, steps), "", steps),
        "rounds_to_1e-3": (int(above[-1]) + 2 if len(above) else 1, "rounds", 1),
    }
