"""Draws digits with the network evaluations of each round split over workers, and times it.

    python -m torch.distributed.run --nproc-per-node 2 examples/distributed.py

Every worker runs this script; the first one prints. Time against the number of workers: repeat it with other numbers,
from 1. Workers use a GPU each where there are enough of them, otherwise the CPU, one thread each.
"""

import time

import torch
import torch.distributed as dist

from deqbench import DEQDDIMPipeline, zoo

STEPS, IMAGES = 200, 4


def main() -> None:
    dist.init_process_group()  # the launcher names the other workers in the environment; gloo on a CPU, nccl on GPUs
    rank, workers = dist.get_rank(), dist.get_world_size()
    cuda = torch.cuda.device_count() >= workers
    torch.set_num_threads(1)
    pipe = DEQDDIMPipeline.from_pretrained(zoo.path("digits")).to(f"cuda:{rank}" if cuda else "cpu")
    pipe.set_progress_bar_config(disable=True)
    for _ in range(2):  # the first call warms up
        dist.barrier()
        started = time.perf_counter()
        seeded = torch.Generator().manual_seed(0)  # alike on every worker
        drawn = pipe(IMAGES, seeded, num_inference_steps=STEPS, output_type="pt", distributed=True)
        seconds = time.perf_counter() - started
    if rank == 0:
        print(f"{workers} workers: {IMAGES} images of {STEPS} steps in {seconds:.2f} s, {max(drawn.rounds)} rounds")
        print(f"{sum(drawn.nfe)} network evaluations, mean pixel {drawn.images.mean():.6f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
