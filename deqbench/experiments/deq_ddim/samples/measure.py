"""One image at several eta, solved jointly and step by step."""

from typing import Any

import torch
from torch import Tensor

from deqbench.data import checkpoints
from deqbench.diffusion import samplers
from deqbench.experiments.deq_ddim.chains import chain, predictor
from deqbench.experiments.deq_ddim.samples.job import SampleJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.metrics.errors import relative_error


@torch.inference_mode()
def sample(job: SampleJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Tensors joint, sequential (n, C, H, W), eta, error and rounds (n,) of one x_T at n eta, and words about them.

    At every eta the noises are the same, and both ways of solving the chain add them.
    """
    network = checkpoints.load(files.one("weights"))
    eps = predictor(network, job.device, job.max_batch)
    parts: dict[str, list[Tensor]] = {name: [] for name in ("joint", "sequential", "error", "rounds")}
    for eta in stepped(job.eta, on_step):
        method = job.method.model_copy(update={"eta": eta})
        made = chain(network, eps, method, job.grid, job.T, job.seed, [0])
        joint = samplers.sample(method.sampler, made, method.options)
        exact = samplers.sample("sequential", made, {})
        parts["joint"].append(joint.x0)
        parts["sequential"].append(exact.x0)
        parts["error"].append(relative_error(joint.x0, exact.x0))
        parts["rounds"].append(joint.rounds)
    tensors = {name: torch.cat(each).cpu() for name, each in parts.items()}
    words = {"T": str(job.T), "method": job.name, "dataset": job.dataset}
    return {"images": (tensors | {"eta": torch.tensor(job.eta, dtype=torch.float64)}, words)}
