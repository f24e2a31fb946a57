"""Long joint solves: how they end."""

from itertools import product
from typing import Any

import numpy as np
import torch

from deqbench.data import checkpoints
from deqbench.data.checkpoints import Network
from deqbench.diffusion.chain import EpsModel
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim.chains import chain, predictor
from deqbench.experiments.deq_ddim.cycles.job import SolveJob
from deqbench.experiments.deq_ddim.shared import Method
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row
from deqbench.metrics.errors import relative_error

SETTLED = 1e-5  # a relative residual below it is rounding in float32


@torch.inference_mode()
def solve(job: SolveJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """The ends of joint solves of many rounds: rows T, image, method, metric, value.

    residual_trend: median residual of the last quarter of the rounds over that of the quarter before. cycling: 1 where
    that is above 0.5 and the relative residual above what rounding leaves; then the solve goes round without settling.
    """
    network, rows = checkpoints.load(files.one("weights")), list[Row]()
    eps = predictor(network, job.device, job.max_batch)
    plan = list(product(job.cycles.runs.items(), job.methods.items()))
    for (T, images), (name, method) in stepped(plan, on_step):
        for image in range(images):
            for metric, value in _cycle(network, job, eps, method, T, image).items():
                rows.append({"T": T, "image": image, "method": name, "metric": metric, "value": value, "unit": ""})
    return {"records": rows}


def _cycle(network: Network, job: SolveJob, eps: EpsModel, method: Method, T: int, image: int) -> dict[str, float]:
    made = chain(network, eps, method, job.grid, T, job.seed, [image])
    exact = sample("sequential", made, {}).x0
    told: list[tuple[float, float, float]] = []

    def on_round(done: Round) -> None:
        if done.absolute is None or done.relative is None:
            raise AssertionError("a joint solve tells its residuals")
        error = float(relative_error(done.x0, exact)[0])
        told.append((float(done.absolute[0]), float(done.relative[0]), error))

    options = {**method.options, "tol": 0.0, "max_iter": job.cycles.rounds}
    sample(method.sampler, made, options, on_round)
    residual, relative, error = (np.array(column) for column in zip(*told, strict=True))
    quarter = max(len(residual) // 4, 1)
    last, before = np.median(residual[-quarter:]), np.median(residual[-2 * quarter : -quarter])
    trend = float(last / before) if before > 0 else 0.0
    return {
        "rounds": float(len(residual)),
        "residual_first": float(residual[0]),
        "residual_last": float(last),
        "residual_trend": trend,
        "cycling": float(trend > 0.5 and np.median(relative[-quarter:]) > SETTLED),
        "x0_error_last": float(error[-1]),
    }
