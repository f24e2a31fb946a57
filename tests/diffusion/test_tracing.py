"""Traces, latents and samples of the joint solve, against the sequential chain and against counts done by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from deqbench import config, jobs, zoo
from deqbench.data import checkpoints
from deqbench.diffusion import experiments, tracing
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError


@pytest.fixture(scope="module")
def network():
    return checkpoints.load(zoo.path("digits"))


@pytest.fixture
def smoke(request):
    return config.load(request.config.rootpath / "config/smoke.yaml")


def edited(job, **changes):
    """A job with some of its settings changed."""
    return type(job).model_validate(json.loads(job.model_dump_json()) | changes)


def test_a_trace_has_the_eta_of_its_method_and_ends_at_the_sequential_chain_with_the_same_noises(smoke, network):
    picard = smoke.papers.deq_ddim.methods["deq-ddim-picard"]
    traced = {"deq-ddim-picard": {"method": picard.model_dump(), "runs": {10: 2}, "rounds": 10}}
    job = edited(jobs.trace(smoke, "digits", "figure-11"), methods=traced, eta=[0.2, 1.0])
    chains = tracing.chains(job)
    assert [(name, found.method.eta, T) for name, found, T in chains] == [
        ("deq-ddim-picard", 0.2, 10),
        ("deq-ddim-picard", 1.0, 10),
    ]
    first = []
    for name, found, T in chains:
        rows = tracing.trace(network, job, found, T)
        last = rows[(rows["metric"] == "x0_error") & (rows["round"] == 10)]["value"]
        assert (last < 1e-5).all()  # T rounds of Picard: exact but for rounding, and only with the same noises
        first.append(rows[rows["metric"] == "residual"].groupby("image")["value"].first().to_numpy())
        records = pd.DataFrame(tracing.summary(rows.assign(method=name, eta=found.method.eta, T=T)))
        errors = records[records["metric"] == "x0_error_T"]
        assert np.array_equal(errors["value"], last) and set(errors["eta"]) == {found.method.eta}
    assert (first[1] > 2 * first[0]).all()  # more noise, a longer first step


def test_a_method_that_is_no_joint_solve_is_refused_with_its_experiment(smoke, network):
    job = jobs.trace(smoke, "digits", "figure-11")
    traced = jobs.Traced(method=smoke.papers.deq_ddim.methods["ddim"], runs={10: 2}, rounds=3)
    with pytest.raises(
        UserError, match=r"figure-11\.methods: expected a method whose sampler is joint; found sequential"
    ):
        tracing.trace(network, job, traced, 10)


def made_up(errors, residuals, method="m", T=4, image=0):
    rows = [
        {"metric": metric, "round": at, "value": value, "unit": ""}
        for metric, values in (("x0_error", errors), ("residual", residuals), ("relative_residual", residuals))
        for at, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows).assign(method=method, eta=0.0, T=T, image=image)


def summed_up(*traces):
    found = pd.DataFrame(tracing.summary(pd.concat(traces)))
    return found.pivot_table(index="image", columns="metric", values="value")


def test_what_a_trace_comes_to_is_counted_from_it():
    errors = [1.0, 0.5, 2e-4, 0.1, 5e-4, 1e-4]
    found = summed_up(made_up(errors, [8.0, 4, 2, 1, 0.5, 0.25])).loc[0]
    assert found["rounds_to_1e-3"] == 5  # from there on it stays below
    assert found["x0_error_T"] == 0.1
    assert (found["residual_first"], found["residual_last"], found["residual_left"]) == (8, 0.25, 0.25 / 8)
    assert not {"residual_15", "x0_error_15", "good_15"} & set(found.index)  # only six rounds were recorded


def test_what_was_not_recorded_is_no_value_and_a_solve_at_rest_keeps_its_last_one():
    long = made_up([1.0] * 15 + [1e-5], [2.0] * 15 + [1.0], image=0, T=15)
    rest = made_up([1.0, 1e-4], [2.0, 0.0], image=1, T=15)
    found = summed_up(long, rest)
    assert found["x0_error_15"].tolist() == found["x0_error_T"].tolist() == [1.0, 1e-4]
    assert found["good_15"].tolist() == [0.0, 1.0]
    assert found["residual_15"].tolist() == [2.0, 0.0]
    assert found["rounds_to_1e-3"].tolist() == [16, 2]
    assert "x0_error_T" not in summed_up(made_up([1.0, 1e-4], [2.0, 1.0], T=3))


def test_samples_share_x_T_and_noises_with_the_chain_walked_step_by_step(smoke, network):
    job = edited(jobs.samples(smoke, "digits"), eta=[0.0, 0.5])
    job = edited(job, method=job.method.model_dump() | {"options": {"max_iter": 40, "tol": 1e-6}})
    tensors, words = tracing.samples(network, job)
    assert words == {"T": "10", "method": "deq-sddim-paper", "dataset": "digits"}
    assert tensors["eta"].tolist() == [0.0, 0.5]
    assert (tensors["error"] < 1e-3).all() and (tensors["rounds"] <= 40).all()
    eps = experiments.predictor(network, "cpu", 64)
    for eta, expected in zip((0.0, 0.5), tensors["sequential"], strict=True):
        method = job.method.model_copy(update={"eta": eta})
        with torch.inference_mode():
            made = experiments.chain(network, eps, method, job.grid, 10, job.seed, [0])
            torch.testing.assert_close(sample("sequential", made, {}).x0[0], expected)
    assert not torch.allclose(*tensors["sequential"], atol=0.1)


def test_latents_of_several_chains_are_told_apart_by_T(smoke, network):
    job = jobs.latents(smoke, "digits", "figure-18")
    tensors, words = tracing.latents(network, job)
    assert words == {"solves": "deq-ddim-paper 5", "dataset": "digits"}
    assert {key.split(".")[0] for key in tensors} == {"T25", "T10"}
    assert tensors["T25.indices"].tolist() == [20, 15, 10, 5, 4, 3, 2, 1, 0]
    assert tensors["T10.indices"].tolist() == [8, 6, 4, 3, 2, 1, 0]
    assert all(tensors[f"T{T}.joint"].shape[:2] == (1, n) for T, n in ((25, 9), (10, 7)))
    assert all(len(tensors[f"T{T}.sequential"]) == n for T, n in ((25, 9), (10, 7)))


def test_every_solve_starts_and_stops_as_its_own_settings_say(smoke, network):
    job = jobs.latents(smoke, "digits", "figure-2")
    tensors, words = tracing.latents(network, job)
    assert words["solves"] == "deq-ddim-paper 3, deq-ddim-zeros 3, deq-ddim-zeros 9"
    (shown,) = job.chains
    with torch.inference_mode():
        eps = experiments.predictor(network, "cpu", 64)
        made = experiments.chain(network, eps, job.solves[0].method, job.grid, shown.T, job.seed, [0])
        z = torch.zeros_like(made.initial())
        for _ in range(3):
            z = made(z)
    places = shown.T - 1 - tensors[f"T{shown.T}.indices"]
    joint = tensors[f"T{shown.T}.joint"]
    torch.testing.assert_close(joint[1], z[0, places], atol=1e-4, rtol=1e-4)  # picard from zeros
    assert not torch.allclose(joint[0], joint[1], atol=0.1)
    assert (tensors[f"T{shown.T}.error"][2] <= tensors[f"T{shown.T}.error"][1]).all()
