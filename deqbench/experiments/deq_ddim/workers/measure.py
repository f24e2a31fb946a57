"""Times of one image by the number of workers that share each round."""

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from deqbench.data import checkpoints
from deqbench.data.checkpoints import Network
from deqbench.diffusion.parallel import DistributedPredictor, run_ranks
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim.chains import chain, predictor
from deqbench.experiments.deq_ddim.workers.job import TimeJob
from deqbench.experiments.files import Files, OnStep, stepped
from deqbench.experiments.rows import Row, of_images


def time(job: TimeJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Seconds of one image by T and number of workers, one thread each, that share each round.

    Each worker is a process with its own copy of the network; gloo passes the states on a CPU. The method's label is
    the number of workers.
    """
    rows: list[Row] = []
    for count in stepped(job.workers.workers, on_step):
        with tempfile.TemporaryDirectory() as folder:
            run_ranks(_time_rank, count, Path(folder), job, files.one("weights"))
            timed = np.load(Path(folder) / "seconds.npy", allow_pickle=False)
        for T, seconds in zip(job.workers.T, timed, strict=True):
            rows += of_images({"time_s": seconds}, {"time_s": "s"}, T=T, method=f"workers-{count}")
    return {"records": rows}


def _time_rank(folder: Path, job: TimeJob, weights: Path) -> None:
    torch.set_num_threads(1)
    network = checkpoints.load(weights)
    seconds = [
        [_time_once(network, job, T, repeat) for repeat in range(-1, job.workers.repeats)] for T in job.workers.T
    ]
    if dist.get_rank() == 0:
        np.save(folder / "seconds.npy", np.array(seconds)[:, 1:])  # the first of each warmed up


@torch.inference_mode()
def _time_once(network: Network, job: TimeJob, T: int, repeat: int) -> float:
    shared = DistributedPredictor(predictor(network, job.device, job.max_batch))
    made = chain(network, shared, job.method, job.grid, T, job.seed, [max(repeat, 0)])
    dist.barrier()
    started = perf_counter()
    sample(job.method.sampler, made, job.method.options)
    return perf_counter() - started
