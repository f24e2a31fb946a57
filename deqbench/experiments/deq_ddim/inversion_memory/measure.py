"""Bytes that a gradient, or a whole inversion, of one image takes."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deqbench.data import checkpoints, datasets
from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import LossAndGrad, gradient, loss, loss_gradient
from deqbench.diffusion.gradients.forward import solved
from deqbench.diffusion.inverted import Inversion, reconstruct
from deqbench.diffusion.inverters import invert
from deqbench.experiments.deq_ddim.chains import predictor
from deqbench.experiments.deq_ddim.inversion_memory.job import WeighJob
from deqbench.experiments.deq_ddim.targets import Targets, targets
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row
from deqbench.measure.peaks import frozen, peak_bytes


def weigh(job: WeighJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Bytes of gradients and inverters by T, of one image."""
    network, data = checkpoints.load(files.one("weights")), datasets.load(files.one("dataset"))
    with frozen():
        return {"records": list(weighed(network, data, job, on_step))}


def weighed(network: Network, data: Dataset, job: WeighJob, on_step: OnStep) -> Iterator[Row]:
    """Rows T, method, metric, value: bytes that one gradient, or a whole inversion, of one image takes.

    saved_bytes: kept for the backward pass, the network's parameters left out; none for checkpointing, whose own hooks
    hide it. peak_bytes: of all tensors that live at once, the network's inside included. Of whole inversions also the
    loss, rounds and nfe that they end with. At the largest T also saved_growth and peak_growth, over those of the
    smallest T, and states_a_step: how many states' bytes the peak grows by from one step to the next.
    """
    network.net.requires_grad_(False)
    eps, first = predictor(network, job.device, job.max_batch), dict[tuple[str, str], int]()
    state = math.prod(network.shape) * next(network.net.parameters()).element_size()
    known, chains = [*network.net.parameters(), *network.net.buffers()], sorted(job.memory.T)
    for T in stepped(chains, on_step):
        sought = targets(network, eps, data, job.grid, T, 0.0, job.seed, [0])
        for name, run in _runs(sought, job).items():
            counted, made = _bytes(run, known)
            if isinstance(made, Inversion) and not job.inverters[name].descends:
                for metric, ended, unit in _ended(sought, made):
                    yield {"T": T, "method": name, "metric": metric, "value": ended, "unit": unit}
            if name in job.memory.variants and job.memory.variants[name].options.get("checkpointing"):
                del counted["saved"]
            for kind, value in counted.items():
                yield {"T": T, "method": name, "metric": f"{kind}_bytes", "value": float(value), "unit": "B"}
                before = first.setdefault((name, kind), value)
                if chains[-1] == T and before:
                    about = {"T": T, "method": name, "unit": ""}
                    yield {**about, "metric": f"{kind}_growth", "value": float(value / before)}
                    if kind == "peak":
                        a_step = (value - before) / (chains[-1] - chains[0])
                        yield {**about, "metric": "states_a_step", "value": a_step / state}


def _runs(sought: Targets, job: WeighJob) -> dict[str, Callable[[], object]]:
    """The runs whose bytes are counted, by name."""
    runs: dict[str, Callable[[], object]] = {
        name: partial(gradient, variant.gradient, sought.chain, sought.images, variant.options)
        for name, variant in job.memory.variants.items()
    }
    runs["released-as-run"] = partial(as_released, sought.chain, sought.images, job.released)
    for name, inverter in job.inverters.items():
        # One update of a descent is as large as any.
        options = {**inverter.options, **({"epochs": 1} if inverter.descends else {})}
        runs[name] = partial(invert, inverter.inverter, sought.start(inverter.start), sought.images, options)
    return runs


def _ended(sought: Targets, made: Inversion) -> Iterator[tuple[str, float, str]]:
    """Metric, value and unit of what the inversion of one image has come to."""
    yield "loss", float(loss(reconstruct(sought.chain, made.x_T), sought.images)), ""
    yield "rounds", float(made.rounds), "rounds"
    yield "nfe", float(made.nfe), "evaluations"


def _bytes(run: Callable[[], object], known: list[Tensor]) -> tuple[dict[str, int], object]:
    made: list[object] = []
    return peak_bytes(lambda: made.append(run()), known), made[0]


@torch.no_grad()
def as_released(chain: DDIMChain, target: Tensor, options: dict[str, Any]) -> LossAndGrad:
    """The gradient of the released code as it runs: through the network for all states, then thrown away.

    Its solved states are a leaf, x_T's copy among them, so that the backward pass through all N evaluations ends there;
    x_T itself is reached by the linear part alone. options: of the gradient `released`.
    """
    settings = {key: value for key, value in options.items() if key != "tau"}
    end = solved(chain, states=None, **settings)
    z = end.reached if end.iterate is None else end.iterate
    with torch.enable_grad():
        x_T = chain.x_T.detach().requires_grad_()
        leaf = torch.cat([chain.x_T[:, None], z], 1).requires_grad_()
        indices = torch.arange(chain.steps).repeat(len(z))
        eps = chain.step_terms(leaf[:, :-1].flatten(0, 1), indices).unflatten(0, z.shape[:2])
        x0 = torch.lerp(leaf[:, -1], chain.combine(x_T, leaf[:, :-1], eps)[:, -1], options["tau"])
        taken, _ = torch.autograd.grad(x0, (x_T, leaf), loss_gradient(x0.detach(), target))
    count = torch.full((len(z),), chain.steps)
    return LossAndGrad(loss(x0.detach(), target), taken, x0.detach(), end.nfe + count, count)
