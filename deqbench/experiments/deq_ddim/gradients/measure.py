"""Gradients of the inversion loss: how near each is to the exact one."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deqbench.data import checkpoints, datasets
from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import gradient
from deqbench.diffusion.inverters import invert
from deqbench.diffusion.network import NoisePredictor
from deqbench.experiments.deq_ddim.chains import predictor
from deqbench.experiments.deq_ddim.gradients.job import CompareJob
from deqbench.experiments.deq_ddim.gradients.misprints import misprints
from deqbench.experiments.deq_ddim.targets import Targets, targets
from deqbench.experiments.deq_ddim.variants import Variant
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row, of_images


def compare(job: CompareJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Every gradient of the inversion loss beside the exact one, by T, start and image."""
    network, data = checkpoints.load(files.one("weights")), datasets.load(files.one("dataset"))
    return {"records": gradients(network, data, job, on_step)}


def gradients(network: Network, data: Dataset, job: CompareJob, on_step: OnStep) -> Iterator[Row]:
    """Rows T, start, image, method, metric, value: every gradient beside the exact one, of the same test images.

    The exact one is float64 autograd through the chain. start: x_T ~ N(0, I), the encoding, or what some updates by
    exact gradients have made of the first. Metrics: cosine, norm_ratio, relative_error, nfe and vjps an image, and
    adjoint_residual where an adjoint is solved for.
    """
    network.net.requires_grad_(False)
    eps, double = predictor(network, job.device, job.max_batch), _double(network, job)
    for T in stepped(job.gradients.T, on_step):
        sought = targets(network, eps, data, job.grid, T, 0.0, job.seed, [*range(job.gradients.images)])
        for start, x_T in _starts(sought, job).items():
            chain = replace(sought.chain, x_T=x_T)
            for row in _compared(chain, double, sought.images, job.gradients.variants):
                yield {"T": T, "start": start, **row}


def _double(network: Network, job: CompareJob) -> NoisePredictor:
    made = replace(network, net=copy.deepcopy(network.net).double())
    return predictor(made, job.device, job.max_batch)


def _starts(sought: Targets, job: CompareJob) -> dict[str, Tensor]:
    options = {"lr": job.gradients.lr, "epochs": job.gradients.epochs}
    made: dict[str, Callable[[], Tensor]] = {
        "noise": lambda: sought.chain.x_T,
        "encoding": lambda: sought.start("encoding").x_T,
        "part-way": lambda: invert("descent", sought.chain, sought.images, options).x_T,
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
        yield from of_images({**_beside(pulled.gradient, exact), **counts}, method=name)
    for name, printed in misprints(wide, wide_target).items():
        yield from of_images(_beside(printed, exact), method=name)


def _beside(taken: Tensor, exact: Tensor) -> dict[str, Tensor]:
    """Cosine, ratio of lengths and relative error of each image's gradient: (B,)."""
    a, b = taken.double().flatten(1), exact.flatten(1)
    length = b.norm(dim=1)
    return {
        "cosine": torch.nn.functional.cosine_similarity(a, b),
        "norm_ratio": a.norm(dim=1) / length,
        "relative_error": (a - b).norm(dim=1) / length,
    }
