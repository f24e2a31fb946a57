"""Gradients of the shipped digits network beside the exact ones, at the smallest sizes."""

import pandas as pd
import pytest

from deqbench import zoo
from deqbench.data import checkpoints, datasets
from deqbench.experiments.deq_ddim.gradients.config import Gradients
from deqbench.experiments.deq_ddim.gradients.job import CompareJob
from deqbench.experiments.deq_ddim.gradients.measure import gradients
from deqbench.experiments.deq_ddim.variants import Variant
from tests.experiments.deq_ddim.smoke import ABOUT, cell, silent

VARIANTS = {
    "backprop": Variant(gradient="backprop"),
    "backprop-checkpointed": Variant(gradient="backprop", options={"checkpointing": True}),
    "phantom-1": Variant(gradient="phantom"),
    "implicit": Variant(gradient="implicit"),
}


@pytest.fixture(scope="module")
def network():
    return checkpoints.load(zoo.path("digits"))


@pytest.fixture(scope="module")
def data():
    return datasets.build("digits")


def test_exact_gradients_of_the_trained_network_agree_and_the_others_do_not(network, data):
    variants = {
        **VARIANTS,
        "converged": Variant(
            gradient="implicit", double=True, options={"forward": "joint", "tol": 1e-9, "max_iter": 80}
        ),
    }
    section = Gradients(T=[4], images=2, epochs=2, variants=variants)
    found = pd.DataFrame(
        gradients(network, data, CompareJob(**ABOUT, experiment="gradients", gradients=section), silent)
    )
    for start in ("noise", "encoding", "part-way"):
        assert max(cell(found, start=start, method="converged", metric="relative_error")) < 1e-5
        assert max(cell(found, start=start, method="eq-19-right", metric="relative_error")) < 1e-9
        for exact in ("backprop", "backprop-checkpointed", "implicit"):
            assert max(cell(found, start=start, method=exact, metric="relative_error")) < 1e-3
        one_step = cell(found, start=start, method="phantom-1", metric="cosine")
        assert max(one_step) < 0.99
        assert cell(found, start=start, method="eq-16-printed", metric="cosine") == pytest.approx(
            [-c for c in one_step], abs=1e-3
        )
    assert cell(found, method="phantom-1", metric="vjps") == [1.0] * 6
