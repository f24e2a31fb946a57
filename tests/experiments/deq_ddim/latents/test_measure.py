"""Latents of the joint solve, against the sequential chain."""

import torch

from deqbench import zoo
from deqbench.data import checkpoints
from deqbench.experiments.deq_ddim.chains import chain, predictor
from deqbench.experiments.deq_ddim.latents import measure
from deqbench.experiments.deq_ddim.latents.job import solve
from tests.experiments.deq_ddim.smoke import WEIGHTS, scope, silent


def test_latents_of_several_chains_are_told_apart_by_T():
    tensors, words = measure.solve(solve(scope("figure-18"), "digits"), WEIGHTS, silent)["latents"]
    assert words == {"solves": "deq-ddim-paper 5", "dataset": "digits"}
    assert {key.split(".")[0] for key in tensors} == {"T25", "T10"}
    assert tensors["T25.indices"].tolist() == [20, 15, 10, 5, 4, 3, 2, 1, 0]
    assert tensors["T10.indices"].tolist() == [8, 6, 4, 3, 2, 1, 0]
    assert all(tensors[f"T{T}.joint"].shape[:2] == (1, n) for T, n in ((25, 9), (10, 7)))
    assert all(len(tensors[f"T{T}.sequential"]) == n for T, n in ((25, 9), (10, 7)))


def test_every_solve_starts_and_stops_as_its_own_settings_say():
    job = solve(scope("figure-2"), "digits")
    tensors, words = measure.solve(job, WEIGHTS, silent)["latents"]
    assert words["solves"] == "deq-ddim-paper 3, deq-ddim-zeros 3, deq-ddim-zeros 9"
    (shown,) = job.chains
    with torch.inference_mode():
        network = checkpoints.load(zoo.path("digits"))
        eps = predictor(network, "cpu", 64)
        made = chain(network, eps, job.solves[0].method, job.grid, shown.T, job.seed, [0])
        z = torch.zeros_like(made.initial())
        for _ in range(3):
            z = made(z)
    places = shown.T - 1 - tensors[f"T{shown.T}.indices"]
    joint = tensors[f"T{shown.T}.joint"]
    torch.testing.assert_close(joint[1], z[0, places], atol=1e-4, rtol=1e-4)  # picard from zeros
    assert not torch.allclose(joint[0], joint[1], atol=0.1)
    assert (tensors[f"T{shown.T}.error"][2] <= tensors[f"T{shown.T}.error"][1]).all()
