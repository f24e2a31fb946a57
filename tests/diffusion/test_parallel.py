"""Two processes on the loopback device against one."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing import ProcessRaisedException

from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.parallel import DistributedPredictor, run_ranks
from deqbench.diffusion.samplers import sample
from tests import oracles
from tests.diffusion.chains import make, relative
from tests.diffusion.pipelines import pair, seeds

ROOT = Path(__file__).parents[2]
RANKS, LIMIT_S = 2, 120
SAMPLERS = {"windowed": {}, "joint": {"max_iter": 30}, "sequential": {}}
SIZES = (1, 2, 5, 8)  # fewer states than ranks, and numbers that two ranks cannot share evenly


def states(count):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, 6, 6, generator=generator, dtype=torch.float64), torch.arange(count) * 100


def sampled(name, wrap):
    """x_0 of the toy chain in float64, and the evaluations counted by the wrapper."""
    chain, eps, _, made = make(30, eta=0.5, grid="uniform-paper")
    predictor = wrap(NoisePredictor(eps, made.alphas_cumprod, max_batch=17))
    object.__setattr__(chain, "eps_model", predictor)
    sampled_images = sample(name, chain, SAMPLERS[name])
    return {
        "x0": sampled_images.x0,
        "rounds": sampled_images.rounds,
        "nfe": int(sampled_images.nfe.sum()),
        "evaluations": predictor.evaluations,
    }


def drawn(**options):
    """x_0 in float32 by a real network, images not cut to [0, 1]."""
    pipe, _ = pair()
    last = {}

    def keep(pipe, number, timestep, tensors):
        last.update(tensors)

    sampled_images = pipe(3, seeds(1), num_inference_steps=20, eta=0.5, callback_on_step_end=keep, **options)
    return {"x0": last["latents"], "rounds": torch.tensor(sampled_images.rounds)}


def told(wrap):
    """The words of a call with chains that differ between the ranks."""
    x, t = states(4 + dist.get_rank())
    try:
        wrap(oracles.ToyEps(3))(x, t)
    except ValueError as error:
        return str(error)
    return ""


def worker(folder):
    torch.set_num_threads(1)
    own = NoisePredictor(oracles.ToyEps(3), torch.ones(1))
    predictor = DistributedPredictor(own)
    sampled_images = {
        "calls": {count: predictor(*states(count)) for count in SIZES},
        "counts": (predictor.evaluations, own.evaluations),
        "samplers": {name: sampled(name, DistributedPredictor) for name in SAMPLERS},
        "pipeline": drawn(distributed=True),
        "differ": told(DistributedPredictor),
    }
    torch.save(sampled_images, folder / f"{dist.get_rank()}.pt")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The result of each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(worker, RANKS, folder, limit_s=LIMIT_S)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.mark.parametrize("count", SIZES)
def test_any_number_of_states_is_shared_out_and_comes_back_whole(ranks, count):
    exact = oracles.ToyEps(3)(*states(count))
    for sampled_images in ranks:
        assert relative(sampled_images["calls"][count], exact) < 1e-14


def test_each_rank_evaluates_its_share_and_counts_the_whole(ranks):
    assert [sampled_images["counts"] for sampled_images in ranks] == [
        (sum(SIZES), 1 + 1 + 3 + 4),
        (sum(SIZES), 0 + 1 + 2 + 4),
    ]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_give_the_images_of_one_process(ranks, name):
    one = sampled(name, lambda predictor: predictor)
    for sampled_images in (rank["samplers"][name] for rank in ranks):
        assert relative(sampled_images["x0"], one["x0"]) < 1e-13
        assert torch.equal(sampled_images["rounds"], one["rounds"])
        assert sampled_images["evaluations"] == sampled_images["nfe"] == one["evaluations"]


def test_the_pipeline_gives_the_images_of_one_process_to_float32_rounding(ranks):
    one = drawn()
    for sampled_images in (rank["pipeline"] for rank in ranks):
        assert relative(sampled_images["x0"], one["x0"]) < 1e-6
        assert torch.equal(sampled_images["rounds"], one["rounds"])
    assert torch.equal(ranks[0]["pipeline"]["x0"], ranks[1]["pipeline"]["x0"])


def test_ranks_that_hold_different_states_are_told_so(ranks):
    for sampled_images in ranks:
        assert re.search(
            "expected the same states on each .*found 4 states of norm .*; 5 states of norm", sampled_images["differ"]
        )


def test_the_example_runs_on_two_workers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "2", "--master-port", str(port)]
    command = [sys.executable, *launch, str(ROOT / "examples" / "distributed.py")]
    sampled_images = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    )
    assert sampled_images.returncode == 0, sampled_images.stderr
    assert re.search(r"2 workers: 4 images of 200 steps in [\d.]+ s", sampled_images.stdout)


def aborts(folder, times):
    """Rank 0 dies as by gloo's threads, the first `times` times."""
    if dist.get_rank() == 0:
        (folder / f"start-{len(list(folder.iterdir()))}").touch()
        if len(list(folder.iterdir())) <= times:
            os.abort()
    dist.barrier()


def test_ranks_that_gloo_aborted_start_again_up_to_three_times(tmp_path):
    with pytest.warns(UserWarning, match="start 1 of 3: .*SIGABRT; starting the ranks again"):
        run_ranks(aborts, RANKS, tmp_path, 1, limit_s=LIMIT_S)
    assert len(list(tmp_path.iterdir())) == 2


def fails():
    raise ValueError("T: expected at most 1000, found 2000")


def test_a_rank_s_own_error_is_raised_at_once():
    with pytest.raises(ProcessRaisedException, match="T: expected at most 1000, found 2000"):
        run_ranks(fails, 1)
