"""Images drawn, scored and timed."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open

from deqbench.data import checkpoints, datasets
from deqbench.data.checkpoints import Network
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim.chains import at_each, chain, predictor, same_chain
from deqbench.experiments.deq_ddim.scores.draws import diffusers_walk, drawn, shard_images
from deqbench.experiments.deq_ddim.scores.job import DrawJob, ScoreJob, TimeJob
from deqbench.experiments.deq_ddim.shared import Method
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.measure.clock import now
from deqbench.metrics import scores
from deqbench.metrics.errors import relative_error

ORACLE_IMAGES = 4
TIMED = {"time_s": "s", "timed_rounds": "rounds", "timed_nfe": "evaluations", "timed_x0_error": ""}  # units


def _key(name: str, method: Method, T: int) -> str:
    """The start of the names of one method's tensors at one T."""
    return f"{name}/eta{method.eta:g}/T{T}/"


def draw(job: DrawJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """One shard of images at every T and eta: x0 (n, C, H, W) float32, rounds, nfe, diverged, diffusers' x0."""
    network, tensors = checkpoints.load(files.one("weights")), dict[str, torch.Tensor]()
    images = shard_images(job.images, job.shards, job.shard)
    methods = [walked[job.name] for walked in at_each({job.name: job.method}, job.eta) if walked]
    chains = [(method, T) for T in job.T for method in methods]
    for place, (method, T) in enumerate(chains):

        def on_image(done: int, before: int = place * len(images)) -> None:
            on_step(before + done, len(images) * len(chains))

        made = drawn(network, job, method, T, on_image)
        if job.shard == 0 and job.grid == "uniform-released":
            made["diffusers"] = diffusers_walk(network, method, job.grid, T, job.seed, images[:ORACLE_IMAGES])
        tensors |= {_key(job.name, method, T) + kind: tensor for kind, tensor in made.items()}
    return {"images": tensors}


def read_drawn(paths: list[Path], start: str) -> dict[str, torch.Tensor]:
    """The tensors whose keys start so, shards in the order given: x0, rounds, nfe, diverged, diffusers where made."""
    parts: dict[str, list[torch.Tensor]] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (no dict)
                if key.startswith(start):
                    parts.setdefault(key.removeprefix(start), []).append(file.get_tensor(key))
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def score(job: ScoreJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Scores per T, eta and method: distances to the training images, the floor of real ones, differences."""
    data = datasets.load(files.one("dataset"))
    reference = scores.Reference.load(files.one("features"), data, job.extractor)
    rows: list[dict[str, Any]] = []
    for T in job.T:
        for eta, methods in _walked(job.methods, job.eta):
            images = {name: read_drawn(files.all("drawn"), _key(name, method, T)) for name, method in methods.items()}
            same = {name for name, method in methods.items() if same_chain(method, methods[job.baseline])}
            scored = scores.table(images, reference, baseline=job.baseline, same=same, seed=job.seed)
            rows += [{**_group(T, eta), **row} for row in scored]
    return {"records": rows}


def _walked(methods: dict[str, Method], etas: list[float]) -> list[tuple[float | None, dict[str, Method]]]:
    """Each eta that methods are walked at, with those that are; None where each is walked at its own."""
    every: list[float | None] = [*etas] or [None]
    return list(zip(every, at_each(methods, etas), strict=True))


def _group(T: int, eta: float | None) -> dict[str, float]:
    """The keys of what was measured at this T and, where methods are walked at several, this eta."""
    return {"T": T} if eta is None else {"T": T, "eta": eta}


def time(job: TimeJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds of one image per method and T, the methods interleaved."""
    plan = [
        (dataset, T, *walked)
        for dataset, times in job.times.items()
        for T, walked in product(times.T, _walked(job.methods, job.eta[dataset]))
    ]
    networks = {dataset: checkpoints.load(files.of("weights", dataset)) for dataset in job.times}
    rows: list[dict[str, Any]] = []
    for dataset, T, eta, methods in stepped(plan, on_step):
        for run in timed(networks[dataset], job, methods, dataset, T):
            keys = {"dataset": dataset, "method": run["method"], **_group(T, eta), "image": run["image"]}
            rows += [{**keys, "metric": metric, "value": run[metric], "unit": unit} for metric, unit in TIMED.items()]
    return {"records": pd.DataFrame(rows).dropna(subset=["value"])}


@torch.inference_mode()
def timed(network: Network, job: TimeJob, methods: dict[str, Method], dataset: str, T: int) -> Iterator[dict[str, Any]]:
    """One mapping a run: method, image and a value a metric; the methods take turns, one image at a time.

    The first turn warms up and is not reported. x0_error is relative to the baseline's x0 of the same image.
    """
    times = job.times[dataset]
    eps = predictor(network, job.device, job.max_batch)
    spent = dict.fromkeys(methods, 0.0)
    for repeat in range(-1, times.repeats):
        exact = None
        running = {name for name in methods if repeat < 3 or spent[name] <= times.longest_s}
        if running:  # what the others are compared with is made for every image that one of them makes
            running |= {job.baseline} & methods.keys()
        for name in sorted(running, key=lambda n: (n != job.baseline, list(methods).index(n))):
            method = methods[name]
            if repeat < 0 and T > 100:  # a long chain needs no warm-up of its own: the shorter ones were run before it
                continue
            made = chain(network, eps, method, job.grids[dataset], T, job.seed, [max(repeat, 0)])
            started = now(job.device)
            solved = sample(method.sampler, made, method.options)
            seconds = now(job.device) - started
            if name == job.baseline:
                exact = solved.x0
            spent[name] += seconds
            if repeat >= 0:
                yield {
                    "method": name,
                    "image": repeat,
                    "time_s": seconds,
                    "timed_rounds": int(solved.rounds[0]),
                    "timed_nfe": int(solved.nfe[0]),
                    "timed_x0_error": _error(solved.x0, exact, same_chain(method, methods[job.baseline])),
                }


def _error(x0: torch.Tensor, exact: torch.Tensor | None, comparable: bool) -> float:
    return float(relative_error(x0, exact)[0]) if comparable and exact is not None else float("nan")
