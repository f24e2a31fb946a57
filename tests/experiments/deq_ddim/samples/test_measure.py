"""Samples at several eta, against the sequential chain."""

import torch

from deqbench import zoo
from deqbench.data import checkpoints
from deqbench.diffusion import samplers
from deqbench.experiments.deq_ddim.chains import chain, predictor
from deqbench.experiments.deq_ddim.samples import measure
from deqbench.experiments.deq_ddim.samples.job import sample
from tests.experiments.deq_ddim.smoke import WEIGHTS, edited, scope, silent


def test_samples_share_x_T_and_noises_with_the_chain_walked_step_by_step():
    job = edited(sample(scope("figure-12"), "digits"), eta=[0.0, 0.5])
    job = edited(job, method=job.method.model_dump() | {"options": {"max_iter": 40, "tol": 1e-6}})
    tensors, words = measure.sample(job, WEIGHTS, silent)["images"]
    assert words == {"T": "10", "method": "deq-sddim-paper", "dataset": "digits"}
    assert tensors["eta"].tolist() == [0.0, 0.5]
    assert (tensors["error"] < 1e-3).all() and (tensors["rounds"] <= 40).all()
    network = checkpoints.load(zoo.path("digits"))
    eps = predictor(network, "cpu", 64)
    for eta, expected in zip((0.0, 0.5), tensors["sequential"], strict=True):
        method = job.method.model_copy(update={"eta": eta})
        with torch.inference_mode():
            made = chain(network, eps, method, job.grid, 10, job.seed, [0])
            torch.testing.assert_close(samplers.sample("sequential", made, {}).x0[0], expected)
    assert not torch.allclose(*tensors["sequential"], atol=0.1)
