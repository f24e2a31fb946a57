"""Studies of the inversion gradient: how near each is to the exact one, and the memory it takes. Pure of files."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deqbench import jobs
from deqbench.config.studies import Variant
from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.diffusion.attempts import Problem, problem
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.experiments import predictor
from deqbench.diffusion.gradients import Pulled, gradient, loss, loss_gradient
from deqbench.diffusion.gradients.forward import solved
from deqbench.diffusion.inverted import Inversion, reconstruct
from deqbench.diffusion.inverters import invert
from deqbench.diffusion.misprints import misprints
from deqbench.diffusion.network import NoisePredictor
from deqbench.measure.peaks import peak_bytes

Row = dict[str, Any]


def gradients(network: Network, data: Dataset, job: jobs.GradientsJob) -> Iterator[Row]:
    """Rows T, start, image, method, metric, value: every gradient beside the exact one, of the same test images.

    The exact one is float64 autograd through the chain. start: x_T ~ N(0, I), the encoding, or what some updates by
    exact gradients have made of the first. Metrics: cosine, norm_ratio, relative_error, nfe and vjps an image, and
    adjoint_residual where an adjoint is solved for.
    """
    network.net.requires_grad_(False)
    eps, double = predictor(network, job.device, job.max_batch), _double(network, job)
    for T in job.gradients.T:
        found = problem(network, eps, data, job.grid, T, 0.0, job.seed, [*range(job.gradients.images)])
        for start, x_T in _starts(found, job).items():
            chain = replace(found.chain, x_T=x_T)
            for row in _compared(chain, double, found.target, job.gradients.variants):
                yield {"T": T, "start": start, **row}


def _double(network: Network, job: jobs.GradientsJob) -> NoisePredictor:
    made = replace(network, net=copy.deepcopy(network.net).double())
    return predictor(made, job.device, job.max_batch)


def _starts(found: Problem, job: jobs.GradientsJob) -> dict[str, Tensor]:
    options = {"lr": job.gradients.lr, "epochs": job.gradients.epochs}
    made: dict[str, Callable[[], Tensor]] = {
        "noise": lambda: found.chain.x_T,
        "encoding": lambda: found.start("encoding").x_T,
        "part-way": lambda: invert("descent", found.chain, found.target, options).x_T,
    }
    return {start: made[start]() for start in job.gradients.starts}


def _compared(chain: DDIMChain, double: NoisePredictor, target: Tensor, variants: dict[str, Variant]) -> Iterator[Row]:
    wide, wide_target = replace(chain, eps_model=double, x_T=chain.x_T.double()), target.double()
    exact = gradient("backprop", wide, wide_target, {}).gradient
    for name, variant in variants.items():
        pulled = gradient(
            variant.gradient, *((wide, wide_target) if variant.double else (chain, target)), variant.options
        )
        counts = {"nfe": pulled.nfe, "vjps": pulled.vjps}
        if pulled.residual is not None:
            counts["adjoint_residual"] = pulled.residual
        yield from _rows(name, {**_beside(pulled.gradient, exact), **counts})
    for name, found in misprints(wide, wide_target).items():
        yield from _rows(name, _beside(found, exact))


def _beside(found: Tensor, exact: Tensor) -> dict[str, Tensor]:
    """Cosine, ratio of lengths and relative error of each image's gradient: (B,)."""
    a, b = found.double().flatten(1), exact.flatten(1)
    length = b.norm(dim=1)
    return {
        "cosine": torch.nn.functional.cosine_similarity(a, b),
        "norm_ratio": a.norm(dim=1) / length,
        "relative_error": (a - b).norm(dim=1) / length,
    }


def _rows(method: str, metrics: dict[str, Tensor]) -> Iterator[Row]:
    for metric, values in metrics.items():
        for image, value in enumerate(values.tolist()):
            yield {"image": image, "method": method, "metric": metric, "value": float(value), "unit": ""}


def inversion_memory(network: Network, data: Dataset, job: jobs.InversionMemoryJob) -> Iterator[Row]:
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
    for T in chains:
        found = problem(network, eps, data, job.grid, T, 0.0, job.seed, [0])
        for name, run in _runs(found, job).items():
            counted, made = _bytes(run, known)
            if isinstance(made, Inversion) and not job.inverters[name].descends:
                for metric, ended, unit in _ended(found, made):
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


def _runs(found: Problem, job: jobs.InversionMemoryJob) -> dict[str, Callable[[], object]]:
    """What is counted, by its name."""
    runs: dict[str, Callable[[], object]] = {
        name: partial(gradient, variant.gradient, found.chain, found.target, variant.options)
        for name, variant in job.memory.variants.items()
    }
    runs["released-as-run"] = partial(as_released, found.chain, found.target, job.released)
    for name, inverter in job.inverters.items():
        # One update of a descent is as large as any.
        options = {**jobs.options(inverter), **({"epochs": 1} if inverter.descends else {})}
        runs[name] = partial(invert, inverter.inverter, found.start(inverter.start), found.target, options)
    return runs


def _ended(found: Problem, made: Inversion) -> Iterator[tuple[str, float, str]]:
    """Metric, value and unit of what the inversion of one image has come to."""
    yield "loss", float(loss(reconstruct(found.chain, made.x_T), found.target)), ""
    yield "rounds", float(made.rounds), "rounds"
    yield "nfe", float(made.nfe), "evaluations"


def _bytes(run: Callable[[], object], known: list[Tensor]) -> tuple[dict[str, int], object]:
    made: list[object] = []
    return peak_bytes(lambda: made.append(run()), known), made[0]


@torch.no_grad()
def as_released(chain: DDIMChain, target: Tensor, options: dict[str, Any]) -> Pulled:
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
        found, _ = torch.autograd.grad(x0, (x_T, leaf), loss_gradient(x0.detach(), target))
    count = torch.full((len(z),), chain.steps)
    return Pulled(loss(x0.detach(), target), found, x0.detach(), end.nfe + count, count)
