"""The joint solve round by round, the states that it has reached after some rounds, and its images at several eta."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from deqbench import jobs
from deqbench.config import Latents
from deqbench.data.checkpoints import Network
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.experiments import chain, groups, predictor
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from deqbench.metrics.errors import relative_error

UNITS = {"residual": "2-norm", "relative_residual": "", "x0_error": ""}
TARGET = 1e-3  # an x0 error that stays below it counts as reached
PAPER_ROUNDS = 15
GOOD = 0.05  # below what the eye sees


def chains(job: jobs.TraceJob) -> list[tuple[str, jobs.Traced, int]]:
    """Name, method at its eta and T of every trace."""
    return [
        (name, job.methods[name].model_copy(update={"method": method}), T)
        for methods in jobs.at_each({name: traced.method for name, traced in job.methods.items()}, job.eta)
        for name, method in methods.items()
        for T in sorted(job.methods[name].runs)
    ]


@torch.inference_mode()
def trace(network: Network, job: jobs.TraceJob, traced: jobs.Traced, T: int) -> pd.DataFrame:
    """Rows image, round, metric, value, unit: residuals, x0's relative error to the sequential chain; no early stop.

    UserError: a method that is no joint solve.
    """
    method = traced.method
    if method.sampler != "joint":
        raise UserError(f"{job.experiment}.methods: expected a method whose sampler is joint; found {method.sampler}")
    eps = predictor(network, job.device, job.max_batch)
    options = {**jobs.options(method), "tol": 0.0, "max_iter": traced.rounds}
    rows: list[dict[str, Any]] = []
    for group in groups(range(traced.runs[T]), T):
        made = chain(network, eps, method, job.grid, T, job.seed, group)
        exact = sample("sequential", made, {}).x0

        def on_round(found: Round, exact: Tensor = exact, group: range = group) -> None:
            if found.absolute is None or found.relative is None:
                raise AssertionError("the joint sampler tells its residuals")
            errors = relative_error(found.x0, exact[found.samples])
            traced = {"residual": found.absolute, "relative_residual": found.relative, "x0_error": errors}
            for metric, values in traced.items():
                for i, value in zip(found.samples.tolist(), values.tolist(), strict=True):
                    keys = {"image": group[i], "round": found.number}
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
        values = {name: found for name, found in values.items() if found[2] <= recorded}
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


@torch.inference_mode()
def latents(network: Network, job: jobs.LatentsJob) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Of one image's chains after k solves: T<T>.joint (k, n, C, H, W), .sequential (n, C, H, W), .indices (n,) and
    .error (k, n); and words.

    Shown: every so many-th state from x_{T-1} down, and x_4 to x_0.
    """
    eps = predictor(network, job.device, job.max_batch)
    tensors: dict[str, Tensor] = {}
    for shown in job.chains:
        made = chain(network, eps, job.solves[0].method, job.grid, shown.T, job.seed, [0])
        tensors |= {f"T{shown.T}.{name}": tensor for name, tensor in _states(made, shown, job.solves).items()}
    solves = ", ".join(f"{solve.name} {solve.rounds}" for solve in job.solves)
    return tensors, {"solves": solves, "dataset": job.dataset}


def _states(made: DDIMChain, shown: Latents, solves: list[jobs.Solved]) -> dict[str, Tensor]:
    steps = made.steps
    indices = [k for k in range(steps - 1, 4, -1) if k % shown.every == 0] + [4, 3, 2, 1, 0]
    places = torch.tensor([steps - 1 - k for k in indices])  # states[:, 0] is x_{N-1}

    def reached(sampler: str, options: dict[str, Any]) -> Tensor:
        states = sample(sampler, made, options).states
        if states is None:
            raise UserError(f"method: expected a method that keeps its states; found {sampler}")
        return states[0, places].cpu()

    exact = reached("sequential", {"keep_states": True})
    joint = [
        reached(solve.method.sampler, {**jobs.options(solve.method), "tol": 0.0, "max_iter": solve.rounds})
        for solve in solves
    ]
    errors = [relative_error(states, exact) for states in joint]
    return {
        "joint": torch.stack(joint),
        "sequential": exact,
        "indices": torch.tensor(indices),
        "error": torch.stack(errors),
    }


@torch.inference_mode()
def samples(network: Network, job: jobs.SamplesJob) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors joint, sequential (n, C, H, W), eta, error and rounds (n,) of one x_T at n eta, and words about them.

    At every eta the noises are the same, and both ways of solving the chain add them.
    """
    eps = predictor(network, job.device, job.max_batch)
    found: dict[str, list[Tensor]] = {name: [] for name in ("joint", "sequential", "error", "rounds")}
    for eta in job.eta:
        method = job.method.model_copy(update={"eta": eta})
        made = chain(network, eps, method, job.grid, job.T, job.seed, [0])
        joint, exact = sample(method.sampler, made, jobs.options(method)), sample("sequential", made, {})
        found["joint"].append(joint.x0)
        found["sequential"].append(exact.x0)
        found["error"].append(relative_error(joint.x0, exact.x0))
        found["rounds"].append(joint.rounds)
    tensors = {name: torch.cat(parts).cpu() for name, parts in found.items()}
    words = {"T": str(job.T), "method": job.method_name, "dataset": job.dataset}
    return tensors | {"eta": torch.tensor(job.eta, dtype=torch.float64)}, words
