"""States of one image's chains after some rounds, beside the sequential ones."""

from typing import Any

import torch
from torch import Tensor

from deqbench.data import checkpoints
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.chains import chain, predictor
from deqbench.experiments.deq_ddim.latents.config import Shown
from deqbench.experiments.deq_ddim.latents.job import Solved, SolveJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.metrics.errors import relative_error


@torch.inference_mode()
def solve(job: SolveJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Of k solves T<T>.joint (k, n, C, H, W), .sequential (n, C, H, W), .indices (n,) and .error (k, n); and words.

    Shown: every so many-th state from x_{T-1} down, and x_4 to x_0.
    """
    network = checkpoints.load(files.one("weights"))
    eps = predictor(network, job.device, job.max_batch)
    tensors: dict[str, Tensor] = {}
    for shown in stepped(job.chains, on_step):
        made = chain(network, eps, job.solves[0].method, job.grid, shown.T, job.seed, [0])
        tensors |= {f"T{shown.T}.{name}": tensor for name, tensor in _states(made, shown, job.solves).items()}
    solves = ", ".join(f"{solved.name} {solved.rounds}" for solved in job.solves)
    return {"latents": (tensors, {"solves": solves, "dataset": job.dataset})}


def _states(made: DDIMChain, shown: Shown, solves: list[Solved]) -> dict[str, Tensor]:
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
        reached(solved.method.sampler, {**solved.method.options, "tol": 0.0, "max_iter": solved.rounds})
        for solved in solves
    ]
    errors = [relative_error(states, exact) for states in joint]
    return {
        "joint": torch.stack(joint),
        "sequential": exact,
        "indices": torch.tensor(indices),
        "error": torch.stack(errors),
    }
