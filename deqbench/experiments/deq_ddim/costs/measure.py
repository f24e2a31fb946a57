"""Times and memory of methods by batch size: predicted, measured and projected."""

from collections.abc import Iterator, Sequence
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from deqbench.data import checkpoints
from deqbench.data.checkpoints import Network
from deqbench.diffusion.chain import EpsModel
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim.chains import CALIBRATION, chain, predictor
from deqbench.experiments.deq_ddim.costs.job import TimeJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row, of_images
from deqbench.measure import cost
from deqbench.measure.cost import CostCurve, Plan, Profile
from deqbench.measure.memory import LiveBytes

CURVE = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Watched:
    """A noise predictor that remembers the size of every call and the seconds spent in them."""

    def __init__(self, eps: EpsModel) -> None:
        self.eps = eps
        self.calls: list[int] = []
        self.seconds = 0.0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """As the predictor; what it makes inside is hidden from memory counts, its answer is not."""
        started = perf_counter()
        with _disable_current_modes():
            out = self.eps(x, t)
        self.seconds += perf_counter() - started
        self.calls.append(len(x))
        return out.clone()


@torch.inference_mode()
def time(job: TimeJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Rows T, batch, method (and image for repeats): measured, predicted and projected seconds, and bytes of states.

    A prediction is t(B), measured first, over the calls that the method made on calibration images, with its own time
    beside the network. The plan is the fastest prediction; where that is the sequential method, its speed-up is left
    out, and the forced parallel one's stands alone.
    """
    network = checkpoints.load(files.one("weights"))
    eps = predictor(network, job.device, job.max_batch)
    draw = torch.randn(job.max_batch, *network.shape, generator=torch.Generator().manual_seed(job.seed)).to(job.device)
    times = torch.arange(job.max_batch).to(job.device)
    curve = cost.measure(lambda size: eps(draw[:size], times[:size]), CURVE, job.max_batch, repeats=7)
    about = {"T": 1, "method": "network", "metric": "time_s", "unit": "s"}
    rows = [about | {"batch": size, "value": s} for size, s in zip(curve.images, curve.seconds, strict=True)]
    plan = list(product(job.costs.T, job.costs.images))
    for T, images in stepped(plan, on_step):
        rows += [{"T": T, "batch": images, **row} for row in _costs_of(network, job, eps, curve, T, images)]
    return {"records": rows}


def _costs_of(network: Network, job: TimeJob, eps: EpsModel, curve: CostCurve, T: int, images: int) -> list[Row]:
    profiles = {name: _profile(network, job, eps, name, T, images) for name in job.methods}
    sequential = next(iter(job.methods))
    planned = cost.plan(profiles, curve, sequential)
    measured = _measured(network, job, eps, T, images)
    rows: list[Row] = []
    for name, seconds in measured.items():
        rows += of_images({"time_s": seconds}, {"time_s": "s"}, method=name)
        rows.append(_row(name, "predicted_s", planned.predicted[name], "s"))
        rows.append(_row(name, "predicted_ratio", planned.predicted[name] / float(np.median(seconds))))
        for image in (0, 1):
            rows.append(_row(name, "state_bytes", _state_bytes(network, job, eps, name, T, images, image), "B", image))
        if name != sequential:
            rows += _projected(job, profiles, curve, sequential, name)
    return [*rows, *_planned(planned, measured, sequential)]


def _row(method: str, metric: str, value: float, unit: str = "", image: int | None = None) -> Row:
    return {"method": method, "metric": metric, "value": value, "unit": unit, "image": image}


def _made(network: Network, job: TimeJob, eps: EpsModel, name: str, T: int, images: Sequence[int]) -> Any:
    method = job.methods[name]
    made = chain(network, eps, method, job.grid, T, job.seed, images)
    return method.sampler, made, method.options


def _profile(network: Network, job: TimeJob, eps: EpsModel, name: str, T: int, images: int) -> Profile:
    """The method's calls on calibration images; the first run of all warms up and does not count its own time."""
    runs, own = [], []
    for run in range(job.costs.calibration):
        first = CALIBRATION + run * images
        watched = Watched(eps)
        sampler, made, options = _made(network, job, watched, name, T, range(first, first + images))
        started = perf_counter()
        sample(sampler, made, options)
        own.append(perf_counter() - started - watched.seconds)
        runs.append(tuple(watched.calls))
    return Profile(tuple(runs), float(np.median(own)))


def _measured(network: Network, job: TimeJob, eps: EpsModel, T: int, images: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in job.methods}
    for repeat in range(job.costs.repeats):
        for name in job.methods:
            sampler, made, options = _made(network, job, eps, name, T, range(repeat * images, (repeat + 1) * images))
            started = perf_counter()
            sample(sampler, made, options)
            spent[name].append(perf_counter() - started)
    return spent


def _state_bytes(network: Network, job: TimeJob, eps: EpsModel, name: str, T: int, images: int, run: int) -> int:
    """Peak bytes of what the method holds, the network's own left out."""
    sampler, made, options = _made(network, job, Watched(eps), name, T, range(run * images, (run + 1) * images))
    with LiveBytes() as live:
        sample(sampler, made, options)
    return live.peak


def _projected(
    job: TimeJob, profiles: dict[str, Profile], curve: CostCurve, sequential: str, name: str
) -> Iterator[Row]:
    for free in job.costs.devices:
        flat = curve.flatter(free)
        gain = profiles[sequential].predicted(flat) / profiles[name].predicted(flat)
        yield _row(name, f"projected_{free}", gain)


def _planned(planned: Plan, measured: dict[str, list[float]], sequential: str) -> Iterator[Row]:
    """The plan's and the forced parallel method's measured speed-up over the sequential one."""
    for label, name in (("plan", planned.method), ("forced", planned.forced)):
        if label == "plan" and planned.fallback:
            yield _row("plan", "fallback", 1.0)
            continue
        for image, (left, right) in enumerate(zip(measured[sequential], measured[name], strict=True)):
            yield _row(label, "speed_up", left / right, image=image) | {"note": f"picked {name}"}
