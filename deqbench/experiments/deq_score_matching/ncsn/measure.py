"""Costs of a step, its time by the number of workers, trainings and samples."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from deqbench import zoo
from deqbench.data import datasets, score_networks
from deqbench.diffusion.parallel import run_ranks
from deqbench.experiments.deq_score_matching.distances import Scoring
from deqbench.experiments.deq_score_matching.ncsn import networks, trained
from deqbench.experiments.deq_score_matching.ncsn.costs import costs
from deqbench.experiments.deq_score_matching.ncsn.job import CostJob, TrainJob, WorkersJob
from deqbench.experiments.deq_score_matching.ncsn.printed import layers
from deqbench.experiments.deq_score_matching.nets import rows_of
from deqbench.experiments.deq_score_matching.vae.costs import size_word
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.measure.clock import now
from deqbench.score_matching.ncsn import noise_conditional_loss

SHOWN = 10  # images kept


def cost(job: CostJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Costs of a step by network and size (records), and the layers beside the printed ones (layers)."""
    common: dict[str, Any] = {name: getattr(job, name) for name in ("objective", "seed", "device")}
    rows = [
        row
        for size in stepped(job.costs.sizes, on_step)
        for row in costs(job.networks, size, job.costs, networks.sigmas_of(job), **common)
    ]
    about = {"dataset": job.costs.sizes[0].dataset, "size": size_word(job.costs.sizes[0].shape)}
    return {"records": rows, "layers": [{**about, **row} for row in layers(job.paper, job.levels)]}


def train(job: TrainJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Every network trained: what it is after some shares of the training (records, history), and images it draws."""
    data = datasets.load(files.one("dataset"))
    scoring = Scoring.of(data, files.all("features"), job.extractor)
    seed = 1000 * job.seed + job.number
    records, history, images = [], [], {"real": data.test[:SHOWN]}
    for name, form in stepped(list(job.networks.items()), on_step):
        sigmas = networks.sigmas_of(job)
        net = networks.made(form, data.shape[0], job.width, job.levels, seed).to(job.device)
        keys = {"size": size_word(data.shape), "method": name, "seed": job.number}
        course = trained.trained(net, form, data, job.training, job.sampler, sigmas, job.objective, scoring, seed)
        for step, share, values in course:
            history += rows_of(values, **keys, step=step, train_s=values["train_s"])
            records += rows_of(values, **keys, step=step, share=share) if share in job.training.shares else []
        if name in job.shipped:
            net, sigmas = score_networks.load(zoo.path(job.shipped[name]))
            net.to(job.device)
        records += rows_of(_chosen(net, form, data, job, sigmas, scoring, seed), **keys)
        images[name] = trained.drawn(net, data.shape, job.sampler, sigmas, seed + 1)[:SHOWN]
    return {"records": records, "history": history, "images": (images, {"dataset": job.dataset})}


def _chosen(
    net: nn.Module, form: Any, data: datasets.Dataset, job: TrainJob, sigmas: Tensor, scoring: Scoring, seed: int
) -> dict[str, float]:
    """The values of the weights that the exact loss on tuning data chose, here or for the zoo."""
    values = trained.tested(net, form, data.test, sigmas, job.objective, job.training.slices, seed)
    values["distance"] = scoring.distance(trained.drawn(net, data.shape, job.sampler, sigmas, seed))
    return {f"chosen_{name}": value for name, value in values.items()}


def share(job: WorkersJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds of an update whose batch is dealt to processes of one thread each, which add up their gradients."""
    rows: list[dict[str, Any]] = []
    for count in stepped(job.workers.counts, on_step):
        with tempfile.TemporaryDirectory() as folder:
            run_ranks(_time_rank, count, Path(folder), job)
            timed = np.load(Path(folder) / "seconds.npy", allow_pickle=False)
        keys = {"dataset": job.workers.dataset, "workers": count, "size": size_word(job.workers.shape)}
        for name, seconds in zip(job.workers.networks, timed, strict=True):
            for turn, value in enumerate(seconds):
                rows += rows_of({"shared_s": value}, {"shared_s": "s"}, **keys, method=name, image=turn)
    return {"records": rows}


def _time_rank(folder: Path, job: WorkersJob) -> None:
    torch.set_num_threads(1)
    section, sigmas = job.workers, networks.sigmas_of(job)
    nets = {
        name: networks.made(job.networks[name], section.shape[0], section.width, job.levels, job.seed)
        for name in section.networks
    }
    seconds = {name: list[float]() for name in nets}
    for turn in range(-1, section.repeats):  # the first of each warms up
        for name, net in nets.items():
            spent = _step(net, job, name, sigmas)
            seconds[name] += [spent] * (turn >= 0)
    if dist.get_rank() == 0:
        np.save(folder / "seconds.npy", np.array(list(seconds.values())))


def _step(net: nn.Module, job: WorkersJob, name: str, sigmas: Tensor) -> float:
    """Seconds of one update of this rank's part of the batch, until all have all gradients."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    generator = torch.Generator().manual_seed(job.seed)
    x = torch.rand(job.workers.batch, *job.workers.shape, generator=generator)[rank::ranks]
    level = (torch.arange(job.workers.batch) % job.levels)[rank::ranks]
    dist.barrier()
    started = now("cpu")
    net.zero_grad()
    options = {"kind": job.objective, "engine": "loop", "generator": generator}
    loss = noise_conditional_loss(net, x, level, sigmas, **options)
    (loss.sum() / job.workers.batch).backward()
    for parameter in net.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
    return now("cpu") - started
