"""The joint solve round by round, and the states that it has reached after some rounds."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from deqbench import jobs
from deqbench.config import Method
from deqbench.data.checkpoints import Network
from deqbench.diffusion.experiments import chain, groups, predictor
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from deqbench.metrics.errors import relative_error

UNITS = {"residual": "2-norm", "relative_residual": "", "x0_error": ""}
TARGET = 1e-3  # an x0 error that stays below it counts as reached
PAPER_ROUNDS = 15
GOOD = 0.05  # below what the eye sees


@torch.inference_mode()
def trace(network: Network, job: jobs.TraceJob, method: Method, T: int) -> pd.DataFrame:
    """Rows image, round, metric, value, unit: residuals, x0's relative error to the sequential chain; no early stop.

    UserError: a method that is no joint solve.
    """
    if method.sampler != "joint":
        raise UserError(f"figure-1.methods: expected a method whose sampler is joint; found {method.sampler}")
    eps = predictor(network, job.device, job.max_batch)
    options = {**jobs.options(method), "tol": 0.0, "max_iter": job.rounds}
    rows: list[dict[str, Any]] = []
    for group in groups(range(job.trace.runs[T]), T):
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
    """Records per method, T and image: residual first and last, x0 error after 15 rounds and whether it is below 0.05,
    rounds to an error of 1e-3.

    rounds_to_1e-3 is the round from which the error stays below 1e-3; one more than the rounds run where it never does.
    """
    rows = []
    for (method, T, image), part in traces.groupby(["method", "T", "image"], sort=True):
        keys = {"method": method, "T": T, "image": image}
        by_metric = {metric: p.sort_values("round")["value"].to_numpy() for metric, p in part.groupby("metric")}
        residual, error = by_metric["residual"], by_metric["x0_error"]
        above = (error >= TARGET).nonzero()[0]
        reached = int(above[-1]) + 2 if len(above) else 1
        after_15 = error[min(PAPER_ROUNDS, len(error)) - 1]
        values = {
            "residual_first": (residual[0], "2-norm"),
            "residual_last": (residual[-1], "2-norm"),
            "x0_error_15": (after_15, ""),
            "good_15": (float(after_15 < GOOD), ""),
            "rounds_to_1e-3": (reached, "rounds"),
        }
        rows += [{**keys, "metric": name, "value": value, "unit": unit} for name, (value, unit) in values.items()]
    return rows


@torch.inference_mode()
def latents(network: Network, job: jobs.LatentsJob) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors joint, sequential (n, C, H, W), indices (n,), error (n,) of one image's chain, and words about it.

    Shown: every so many-th state from x_{T-1} down, and x_4 to x_0.
    """
    eps = predictor(network, job.device, job.max_batch)
    made = chain(network, eps, job.method, job.grid, job.latents.T, job.seed, [0])
    options = {**jobs.options(job.method), "tol": 0.0, "max_iter": job.rounds}
    joint = sample(job.method.sampler, made, options).states
    exact = sample("sequential", made, {"keep_states": True}).states
    if joint is None or exact is None:
        raise UserError(f"figure-2.method: expected a method that keeps its states; found {job.method.sampler}")
    steps = made.steps
    indices = [k for k in range(steps - 1, 4, -1) if k % job.latents.every == 0] + [4, 3, 2, 1, 0]
    places = torch.tensor([steps - 1 - k for k in indices])  # states[:, 0] is x_{N-1}
    tensors = {
        "joint": joint[0, places].cpu(),
        "sequential": exact[0, places].cpu(),
        "indices": torch.tensor(indices),
        "error": relative_error(joint[0, places], exact[0, places]).cpu(),
    }
    words = {
        "T": str(job.latents.T),
        "rounds": str(job.rounds),
        "method": job.method_name,
        "dataset": job.dataset,
    }
    return tensors, words
