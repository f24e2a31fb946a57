"""Traces of the joint solve, against the sequential chain and against counts done by hand."""

import numpy as np
import pandas as pd
import pytest

from deqbench import zoo
from deqbench.data import checkpoints
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.traces import job, measure
from tests.experiments.deq_ddim.smoke import edited, scope

SMOKE = scope("figure-11")


@pytest.fixture(scope="module")
def network():
    return checkpoints.load(zoo.path("digits"))


def test_a_trace_has_the_eta_of_its_method_and_ends_at_the_sequential_chain_with_the_same_noises(network):
    picard = SMOKE.shared.methods["deq-ddim-picard"]
    traced = {"deq-ddim-picard": {"method": picard.model_dump(), "runs": {10: 2}, "rounds": 10}}
    wanted = edited(job.trace(SMOKE, "digits"), methods=traced, eta=[0.2, 1.0])
    chains = measure.chains(wanted)
    assert [(name, found.method.eta, T) for name, found, T in chains] == [
        ("deq-ddim-picard", 0.2, 10),
        ("deq-ddim-picard", 1.0, 10),
    ]
    first = []
    for name, found, T in chains:
        rows = measure.rounds(network, wanted, found, T)
        last = rows[(rows["metric"] == "x0_error") & (rows["round"] == 10)]["value"]
        assert (last < 1e-5).all()  # T rounds of Picard: exact but for rounding, and only with the same noises
        first.append(rows[rows["metric"] == "residual"].groupby("image")["value"].first().to_numpy())
        records = pd.DataFrame(measure.summary(rows.assign(method=name, eta=found.method.eta, T=T)))
        errors = records[records["metric"] == "x0_error_T"]
        assert np.array_equal(errors["value"], last) and set(errors["eta"]) == {found.method.eta}
    assert (first[1] > 2 * first[0]).all()  # more noise, a longer first step


def test_a_method_that_is_no_joint_solve_is_refused_with_its_experiment(network):
    wanted = job.trace(SMOKE, "digits")
    traced = job.Traced(method=SMOKE.shared.methods["ddim"], runs={10: 2}, rounds=3)
    with pytest.raises(
        UserError, match=r"figure-11\.methods: expected a method whose sampler is joint; found sequential"
    ):
        measure.rounds(network, wanted, traced, 10)


def made_up(errors, residuals, method="m", T=4, image=0):
    rows = [
        {"metric": metric, "round": at, "value": value, "unit": ""}
        for metric, values in (("x0_error", errors), ("residual", residuals), ("relative_residual", residuals))
        for at, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows).assign(method=method, eta=0.0, T=T, image=image)


def summed_up(*traces):
    found = pd.DataFrame(measure.summary(pd.concat(traces)))
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
