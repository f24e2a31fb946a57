"""Network evaluations of a round, split over the ranks of torch.distributed."""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing import ProcessExitedException, spawn

from deqbench.diffusion.chain import EpsModel

STARTS = 3


class DistributedPredictor:
    """A noise predictor whose every call is shared out: each rank evaluates M / ranks of the states, and gets all.

    All ranks run the same program on the same chains, each with its own copy of the network, on the same kind of device
    with the same number of threads: they then take the same decisions, and no rank waits for one that has stopped. The
    images are those of one process up to the rounding by which a network depends on the size of its batch (relative
    1e-6 in float32, 1e-13 in float64), or up to the sampler's tolerance where that rounding tips a stop test.

    predictor: ((M, *dims), (M,)) -> (M, *dims), in the dtype of its argument. group: the ranks, by default all.
    """

    def __init__(self, predictor: EpsModel, group: Any = None) -> None:
        self.predictor, self.group = predictor, group
        self.ranks, self.rank = dist.get_world_size(group), dist.get_rank(group)
        self.evaluations = 0  # states passed through the network by all ranks together
        self.calls = 0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (M, *dims) at timesteps t: (M,) int64 -> predicted noise, (M, *dims), the same on every rank.

        M may be any number, also one smaller than that of the ranks. ValueError: the ranks began with different x.
        """
        if not self.calls:
            self._compare(x)
        self.calls += 1
        self.evaluations += len(x)
        share = -(-len(x) // self.ranks)
        mine = slice(self.rank * share, (self.rank + 1) * share)
        part = x.new_zeros(share, *x.shape[1:])  # gathered parts are all of one size; what pads them comes last
        if count := len(x[mine]):
            part[:count] = self.predictor(x[mine], t[mine])
        whole = x.new_empty(self.ranks * share, *x.shape[1:])
        dist.all_gather(list(whole.split(share)), part, group=self.group)
        return whole[: len(x)]

    def _compare(self, x: Tensor) -> None:
        """ValueError unless the ranks hold the same x: mixed chains would give wrong images without a word."""
        own = torch.stack([x.new_tensor(len(x), dtype=torch.float64), x.norm(dtype=torch.float64)])
        others = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(others, own, group=self.group)
        if not all(torch.allclose(other, own, rtol=1e-6, equal_nan=True) for other in others):
            sizes = "; ".join(f"{int(count)} states of norm {norm:.7g}" for count, norm in others)
            raise ValueError(f"ranks: expected the same states on each (seed them alike); found {sizes}")


def run_ranks(function: Callable[..., None], ranks: int, *args: Any, limit_s: float = 1800) -> None:
    """Calls function(*args) in `ranks` new processes of this machine, joined in a group of gloo.

    Both are pickled, so the function stands in a module. An error of a rank is raised here
    (torch.multiprocessing.ProcessRaisedException); a rank that waits for another longer than limit_s seconds is one.
    Gloo's own threads abort now and then, on a busy machine, while the ranks find each other (pytorch issue 188266):
    that is warned of, and the processes start again, up to three times.
    """
    for start in range(1, STARTS + 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                spawn(_rank, (function, ranks, folder, limit_s, args), nprocs=ranks)
                return
            except ProcessExitedException as error:
                if error.signal_name != "SIGABRT" or start == STARTS:
                    raise
                warnings.warn(f"start {start} of {STARTS}: {error}; starting the ranks again", stacklevel=2)


def _rank(rank: int, function: Callable[..., None], ranks: int, folder: str, limit_s: float, args: Any) -> None:
    limit = timedelta(seconds=limit_s)
    dist.init_process_group("gloo", f"file://{folder}/store", limit, ranks, rank)
    function(*args)
    dist.barrier()  # no rank hangs up on one that still listens
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # gloo's threads may still hold tensors, which aborts the interpreter's own end (pytorch 179291)
