"""Studies beside the paper's exhibits: what runs cost, whether long solves settle, what workers save. Pure of files."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from deqbench import jobs
from deqbench.config import Method
from deqbench.data import checkpoints
from deqbench.data.checkpoints import Network
from deqbench.diffusion.chain import EpsModel
from deqbench.diffusion.experiments import chain, predictor
from deqbench.diffusion.parallel import DistributedPredictor, run_ranks
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers import sample
from deqbench.measure.cost import CostCurve, Plan, Profile, measure, plan
from deqbench.measure.memory import LiveBytes
from deqbench.metrics.errors import relative_error

CALIBRATION = 10_000  # images from here on calibrate; none of them is measured
CURVE = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SETTLED = 1e-5  # a relative residual below it is rounding in float32
Row = dict[str, Any]


class Watched:
    """A noise predictor that remembers the size of every call and the seconds spent in them."""

    def __init__(self, eps: EpsModel) -> None:
        self.eps = eps
        self.calls: list[int] = []
        self.seconds = 0.0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """As the predictor; what it makes inside is hidden from memory counts, its answer is not."""
        started = time.perf_counter()
        with _disable_current_modes():
            out = self.eps(x, t)
        self.seconds += time.perf_counter() - started
        self.calls.append(len(x))
        return out.clone()


@torch.inference_mode()
def costs(network: Network, job: jobs.CostsJob) -> Iterator[Row]:
    """Rows T, batch, method, metric, value, unit (and image for repeats): measured, predicted and projected seconds.

    A prediction is t(B), measured first, over the calls that the method made on calibration images, with its own time
    beside the network. The plan is the fastest prediction; where that is the sequential method, its speed-up is left
    out, and the forced parallel one's stands alone.
    """
    eps = predictor(network, job.device, job.max_batch)
    draw = torch.randn(job.max_batch, *network.shape, generator=torch.Generator().manual_seed(job.seed)).to(job.device)
    times = torch.arange(job.max_batch).to(job.device)
    curve = measure(lambda size: eps(draw[:size], times[:size]), CURVE, job.max_batch, repeats=7)
    for size, seconds in zip(curve.images, curve.seconds, strict=True):
        yield {"T": 1, "batch": size, "method": "network", "metric": "time_s", "value": seconds, "unit": "s"}
    for T in job.costs.T:
        for images in job.costs.images:
            for row in _costs_of(network, job, eps, curve, T, images):
                yield {"T": T, "batch": images, **row}


def _costs_of(network: Network, job: jobs.CostsJob, eps: EpsModel, curve: CostCurve, T: int, images: int) -> list[Row]:
    profiles = {name: _profile(network, job, eps, name, T, images) for name in job.methods}
    sequential = next(iter(job.methods))
    planned = plan(profiles, curve, sequential)
    measured = _measured(network, job, eps, T, images)
    rows = []
    for name, seconds in measured.items():
        rows += [_row(name, "time_s", value, "s", image) for image, value in enumerate(seconds)]
        rows.append(_row(name, "predicted_s", planned.predicted[name], "s"))
        rows.append(_row(name, "predicted_ratio", planned.predicted[name] / float(np.median(seconds))))
        for image in (0, 1):
            rows.append(_row(name, "state_bytes", _state_bytes(network, job, eps, name, T, images, image), "B", image))
        if name != sequential:
            rows += _projected(job, profiles, curve, sequential, name)
    return [*rows, *_planned(planned, measured, sequential)]


def _row(method: str, metric: str, value: float, unit: str = "", image: int | None = None) -> Row:
    return {"method": method, "metric": metric, "value": value, "unit": unit, "image": image}


def _made(network: Network, job: jobs.CostsJob, eps: EpsModel, name: str, T: int, images: Sequence[int]) -> Any:
    method = job.methods[name]
    made = chain(network, eps, method, job.grid, T, job.seed, images)
    return method.sampler, made, jobs.options(method)


def _profile(network: Network, job: jobs.CostsJob, eps: EpsModel, name: str, T: int, images: int) -> Profile:
    """What the method does on calibration images; the first run of all warms up and does not count its own time."""
    runs, own = [], []
    for run in range(job.costs.calibration):
        first = CALIBRATION + run * images
        watched = Watched(eps)
        sampler, made, options = _made(network, job, watched, name, T, range(first, first + images))
        started = time.perf_counter()
        sample(sampler, made, options)
        own.append(time.perf_counter() - started - watched.seconds)
        runs.append(tuple(watched.calls))
    return Profile(tuple(runs), float(np.median(own)))


def _measured(network: Network, job: jobs.CostsJob, eps: EpsModel, T: int, images: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in job.methods}
    for repeat in range(job.costs.repeats):
        for name in job.methods:
            sampler, made, options = _made(network, job, eps, name, T, range(repeat * images, (repeat + 1) * images))
            started = time.perf_counter()
            sample(sampler, made, options)
            spent[name].append(time.perf_counter() - started)
    return spent


def _state_bytes(network: Network, job: jobs.CostsJob, eps: EpsModel, name: str, T: int, images: int, run: int) -> int:
    """Peak bytes of what the method holds, the network's own left out."""
    sampler, made, options = _made(network, job, Watched(eps), name, T, range(run * images, (run + 1) * images))
    with LiveBytes() as live:
        sample(sampler, made, options)
    return live.peak


def _projected(
    job: jobs.CostsJob, profiles: dict[str, Profile], curve: CostCurve, sequential: str, name: str
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


@torch.inference_mode()
def cycles(network: Network, job: jobs.CyclesJob) -> Iterator[Row]:
    """Rows T, image, method, metric, value: how a joint solve of many rounds ends.

    residual_trend: median residual of the last quarter of the rounds over that of the quarter before. cycling: 1 where
    that is above 0.5 and the relative residual above what rounding leaves; then the solve goes round without settling.
    """
    eps = predictor(network, job.device, job.max_batch)
    for T, images in job.cycles.runs.items():
        for name, method in job.methods.items():
            for image in range(images):
                for metric, value in _cycle(network, job, eps, method, T, image).items():
                    yield {"T": T, "image": image, "method": name, "metric": metric, "value": value, "unit": ""}


def _cycle(
    network: Network, job: jobs.CyclesJob, eps: EpsModel, method: Method, T: int, image: int
) -> dict[str, float]:
    made = chain(network, eps, method, job.grid, T, job.seed, [image])
    exact = sample("sequential", made, {}).x0
    told: list[tuple[float, float, float]] = []

    def on_round(found: Round) -> None:
        if found.absolute is None or found.relative is None:
            raise AssertionError("a joint solve tells its residuals")
        error = float(relative_error(found.x0, exact)[0])
        told.append((float(found.absolute[0]), float(found.relative[0]), error))

    options = {**jobs.options(method), "tol": 0.0, "max_iter": job.cycles.rounds}
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


def workers(job: jobs.WorkersJob, weights: Path) -> Iterator[Row]:
    """Rows T, method, image, metric, value: seconds of one image by number of workers, one thread each.

    Each worker is a process with its own copy of the network; gloo passes the states on a CPU. The method's label is
    the number of workers.
    """
    for count in job.workers.workers:
        with tempfile.TemporaryDirectory() as folder:
            run_ranks(_time_rank, count, Path(folder), job, weights)
            found = np.load(Path(folder) / "seconds.npy", allow_pickle=False)
        for T, seconds in zip(job.workers.T, found, strict=True):
            for repeat, value in enumerate(seconds):
                label = f"workers-{count}"
                yield {"T": T, "method": label, "image": repeat, "metric": "time_s", "value": value, "unit": "s"}


def _time_rank(folder: Path, job: jobs.WorkersJob, weights: Path) -> None:
    torch.set_num_threads(1)
    network = checkpoints.load(weights)
    seconds = [
        [_time_once(network, job, T, repeat) for repeat in range(-1, job.workers.repeats)] for T in job.workers.T
    ]
    if dist.get_rank() == 0:
        np.save(folder / "seconds.npy", np.array(seconds)[:, 1:])  # the first of each warmed up


@torch.inference_mode()
def _time_once(network: Network, job: jobs.WorkersJob, T: int, repeat: int) -> float:
    shared = DistributedPredictor(predictor(network, job.device, job.max_batch))
    made = chain(network, shared, job.method, job.grid, T, job.seed, [max(repeat, 0)])
    dist.barrier()
    started = time.perf_counter()
    sample(job.method.sampler, made, jobs.options(job.method))
    return time.perf_counter() - started
