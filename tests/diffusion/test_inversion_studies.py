"""Studies of gradients and memory on the shipped digits network, at the smallest sizes; the paper's misprints."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from deqbench import jobs, zoo
from deqbench.config.inversion import Inverter
from deqbench.config.studies import Gradients, InversionMemory, Variant
from deqbench.data import checkpoints, datasets
from deqbench.diffusion import inversion_studies as studies
from deqbench.diffusion.gradients import gradient
from deqbench.diffusion.misprints import misprints, pushed
from deqbench.papers import preset
from tests.diffusion.test_chain import SHAPE, relative
from tests.diffusion.test_gradients import problem, unrolled

ABOUT = {"seed": 3, "dataset": "digits", "grid": "uniform-released", "device": "cpu", "max_batch": 64}
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


def cell(frame, **keys):
    for key, value in keys.items():
        frame = frame[frame[key] == value]
    return frame["value"].tolist()


def test_exact_gradients_of_the_trained_network_agree_and_the_others_do_not(network, data):
    variants = {
        **VARIANTS,
        "converged": Variant(
            gradient="implicit", double=True, options={"forward": "joint", "tol": 1e-9, "max_iter": 80}
        ),
    }
    section = Gradients(T=[4], images=2, epochs=2, variants=variants)
    found = pd.DataFrame(studies.gradients(network, data, jobs.GradientsJob(**ABOUT, gradients=section)))
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


@pytest.fixture(scope="module")
def memory(network, data):
    section = InversionMemory(T=[4, 8], variants=VARIANTS, inverters=["algorithm-1"])
    known = {"algorithm-1": Inverter(inverter="descent")}
    job = jobs.InversionMemoryJob(**ABOUT, memory=section, inverters=known, released=RELEASED)
    return pd.DataFrame(studies.inversion_memory(network, data, job))


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
    job = jobs.InversionMemoryJob(**ABOUT, memory=section, inverters=known, released=RELEASED)
    found = pd.DataFrame(studies.inversion_memory(network, data, job))
    (held,) = cell(found, method="few", metric="states_a_step")
    assert 2 * 3 <= held <= 2 * 3 + 6
    assert cell(found, method="phantom-1", metric="states_a_step") == [pytest.approx(0, abs=1)]


def test_a_window_of_sweeps_takes_the_same_memory_for_any_chain(network, data):
    options = {"first": "noised", "at_once": 5, "max_iter": 12, "m": 3, "window": 5}
    known = {"windowed": Inverter(inverter="sweeps", options=options)}
    section = InversionMemory(T=[10, 100], variants={"phantom-1": {"gradient": "phantom"}}, inverters=["windowed"])
    job = jobs.InversionMemoryJob(**ABOUT, memory=section, inverters=known, released=RELEASED)
    found = pd.DataFrame(studies.inversion_memory(network, data, job))
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
    ran, found = studies.as_released(chain, target, options), gradient("released", chain, target, options)
    assert relative(ran.gradient, found.gradient) < 1e-6
    assert relative(ran.x0, found.x0) < 1e-10
    assert int((ran.nfe + found.nfe).sum()) == predictor.evaluations


def dense(chain, target):
    """Jacobians of the joint map at the chain's own states, and dL/dz, of one image: matrices and a vector."""
    z = torch.stack(list(chain.walk()), 1)
    by_state = torch.autograd.functional.jacobian(chain, z).reshape(z.numel(), z.numel())
    by_start = torch.autograd.functional.jacobian(lambda x: replace(chain, x_T=x)(z), chain.x_T).reshape(
        len(by_state), -1
    )
    g = torch.zeros_like(z)
    g[:, -1] = 2 * (z[:, -1] - target)
    return by_state, by_start, g.flatten()


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_misprints_are_what_dense_matrices_make_of_the_printed_equations(eta):
    chain, target, _ = problem(4, eta=eta)
    found = misprints(chain, target)
    for i in range(2):
        one = chain.select(torch.tensor([i]))
        by_state, by_start, g = dense(one, target[i : i + 1])
        J_g = by_state - torch.eye(len(g)).to(g)
        printed = torch.linalg.solve(torch.linalg.inv(J_g), -g)  # J_g^-1 v + g = 0
        untransposed, right = torch.linalg.solve(J_g, -g), torch.linalg.solve(J_g.T, -g)
        for name, exact in (
            ("eq-16-printed", -g @ by_start),
            ("eq-16-right", g @ by_start),
            ("eq-19-printed", printed @ by_start),
            ("eq-19-untransposed", untransposed @ by_start),
            ("eq-19-right", right @ by_start),
        ):
            assert relative(found[name][i].flatten(), exact) < 1e-8, name


def test_only_the_right_equation_is_the_gradient_and_two_misprints_are_the_one_step_gradient():
    chain, target, _ = problem(8)
    found, exact = misprints(chain, target), unrolled(chain, target)
    one_step = gradient("phantom", chain, target, {"tau": 1.0}).gradient
    assert relative(found["eq-19-right"], exact) < 1e-10
    for name in ("eq-16-right", "eq-19-printed", "eq-19-untransposed"):
        assert relative(found[name], one_step) < 1e-12
        assert relative(found[name], exact) > 0.01
    assert torch.equal(found["eq-16-printed"], -found["eq-16-right"])


def test_difference_quotients_of_the_joint_map_are_its_jacobian():
    chain, _, _ = problem(5)
    generator = torch.Generator().manual_seed(4)
    z, v = (torch.randn(2, 5, *SHAPE[1:], generator=generator, dtype=torch.float64) for _ in range(2))
    _, exact = torch.autograd.functional.jvp(chain, z, v)
    assert relative(pushed(chain, z, v), exact) < 1e-7
    with pytest.raises(ValueError, match="expected float64"):
        misprints(problem(3, dtype=torch.float32, double=False)[0], z[:, 0])
