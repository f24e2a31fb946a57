"""Bytes of gradients and inverters of the shipped digits network, at the smallest sizes."""

import pandas as pd
import pytest

from deqbench import zoo
from deqbench.data import checkpoints, datasets
from deqbench.diffusion.gradients import gradient
from deqbench.experiments.deq_ddim.inversion_memory.config import InversionMemory
from deqbench.experiments.deq_ddim.inversion_memory.job import WeighJob
from deqbench.experiments.deq_ddim.inversion_memory.measure import as_released, weighed
from deqbench.experiments.deq_ddim.shared import Inverter
from deqbench.experiments.deq_ddim.variants import Variant
from deqbench.papers import preset
from tests.diffusion.chains import relative
from tests.diffusion.inversion_problems import problem
from tests.experiments.deq_ddim.smoke import ABOUT, cell, silent

RELEASED = {k: v for k, v in preset("deq-ddim", "inversion-released").items() if k not in ("gradient", "warm_start")}
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


@pytest.fixture(scope="module")
def memory(network, data):
    section = InversionMemory(T=[4, 8], variants=VARIANTS, inverters=["algorithm-1"])
    known = {"algorithm-1": Inverter(inverter="descent")}
    job = WeighJob(**ABOUT, experiment="inversion-memory", memory=section, inverters=known, released=RELEASED)
    return pd.DataFrame(weighed(network, data, job, silent))


def test_graphs_of_all_steps_grow_with_the_chain_and_graphs_of_one_do_not(memory):
    for method in ("backprop", "released-as-run", "algorithm-1"):
        assert cell(memory, method=method, metric="saved_growth") == [pytest.approx(2, rel=0.02)]
        assert cell(memory, method=method, metric="peak_growth") == [pytest.approx(2, rel=0.1)]
    for method in ("phantom-1", "implicit"):
        assert cell(memory, method=method, metric="saved_growth") == [pytest.approx(1, rel=0.02)]
    for method in ("phantom-1", "implicit", "backprop-checkpointed"):
        assert cell(memory, method=method, metric="peak_growth") == [pytest.approx(1, rel=0.02)]
    assert not cell(memory, method="backprop-checkpointed", metric="saved_bytes")


def test_sweeps_with_few_states_a_call_grow_by_the_states_they_hold_alone(network, data):
    known = {"few": Inverter(inverter="sweeps", options={"at_once": 2, "max_iter": 4, "m": 3, "tol": 0.0})}
    section = InversionMemory(T=[10, 50], variants={"phantom-1": {"gradient": "phantom"}}, inverters=["few"])
    job = WeighJob(**ABOUT, experiment="inversion-memory", memory=section, inverters=known, released=RELEASED)
    found = pd.DataFrame(weighed(network, data, job, silent))
    (held,) = cell(found, method="few", metric="states_a_step")
    assert 2 * 3 <= held <= 2 * 3 + 6
    assert cell(found, method="phantom-1", metric="states_a_step") == [pytest.approx(0, abs=1)]


def test_a_window_of_sweeps_takes_the_same_memory_for_any_chain(network, data):
    options = {"first": "noised", "at_once": 5, "max_iter": 12, "m": 3, "window": 5}
    known = {"windowed": Inverter(inverter="sweeps", options=options)}
    section = InversionMemory(T=[10, 100], variants={"phantom-1": {"gradient": "phantom"}}, inverters=["windowed"])
    job = WeighJob(**ABOUT, experiment="inversion-memory", memory=section, inverters=known, released=RELEASED)
    found = pd.DataFrame(weighed(network, data, job, silent))
    assert cell(found, method="windowed", metric="peak_growth") == [pytest.approx(1, abs=0.02)]
    assert not any(cell(found, method="windowed", metric="saved_bytes"))


def test_the_peak_holds_what_is_saved_and_what_the_backward_pass_makes(memory):
    for method in ("backprop", "phantom-1", "implicit", "released-as-run"):
        for T in (4, 8):
            (saved,) = cell(memory, method=method, metric="saved_bytes", T=T)
            (peak,) = cell(memory, method=method, metric="peak_bytes", T=T)
            assert peak > saved > 100_000


def test_what_the_released_code_runs_gives_the_released_gradient():
    chain, target, predictor = problem()
    options = {**RELEASED, "max_iter": 6}
    ran, found = as_released(chain, target, options), gradient("released", chain, target, options)
    assert relative(ran.gradient, found.gradient) < 1e-6
    assert relative(ran.x0, found.x0) < 1e-10
    assert int((ran.nfe + found.nfe).sum()) == predictor.evaluations
