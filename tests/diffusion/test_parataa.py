"""ParaTAA against a loop written for the purpose, Picard's iteration and the sequential chain, in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from deqbench.diffusion.samplers import sample
from deqbench.diffusion.samplers.parataa import sweeps
from deqbench.errors import UserError
from deqbench.solvers import solve
from tests.diffusion.chains import make, relative


def traced(chain, **options):
    """The sampler's result, and the last state of the only image after each round, (rounds, *dims)."""
    told = []
    drawn = sample("parataa", chain, options, on_round=lambda round: told.append(round.x0[0].clone()))
    return drawn, torch.stack(told)


def first_image(steps, **options):
    chain, *_ = make(steps, grid="uniform-paper", **options)
    return chain.select(torch.tensor([0]))


def step(chain, j, x):
    """The state after step j from the state x before it, both (*dims)."""
    eps = chain.eps_model(x[None], chain.timesteps[j : j + 1])[0]
    after, before = chain.alpha_bar[j + 1], chain.alpha_bar[j]
    sigma = chain.sigma[j]
    x0 = (x - (1 - before).sqrt() * eps) / before.sqrt()
    new = after.sqrt() * x0 + (1 - after - sigma**2).clamp_min(0).sqrt() * eps
    return new if chain.noise is None else new + chain.noise_scale[j] * chain.noise[0, j]


def frozen_step(chain, j, x, at):
    """The same with eps taken at another state."""
    eps = chain.eps_model(at[None], chain.timesteps[j : j + 1])[0]
    return step(chain, j, x) + float(chain.scale[j]) * (eps - chain.eps_model(x[None], chain.timesteps[j : j + 1])[0])


def textbook(chain, order, m, ridge, tol):
    """The released loop with plain lists: the last states after each round, and the states evaluated."""
    steps = chain.steps
    x = [chain.x_T[0]] * (steps + 1)
    past, last, evaluated, low = [], [], 0, 0
    while low < steps:
        evaluated += steps - low
        new, residual = {}, {}
        for j in range(low, steps):
            residual[j] = float((step(chain, j, x[j]) - x[j + 1]).square().mean().sqrt())
            at = max(low, j + 1 - order)
            y = x[at]
            for i in range(at, j + 1):
                y = frozen_step(chain, i, y, x[i])
            new[j] = y.flatten().numpy()
        past = [*past, (new, {j: new[j] - x[j + 1].flatten().numpy() for j in new})][-m:]
        unsettled = [j for j in range(low, steps) if residual[j] > tol]
        first = unsettled[0] if unsettled else steps - 1
        for j in range(low, steps):
            y = new[j]
            if j > first and len(past) > 1:
                dR = [np.concatenate([b[1][i] - a[1][i] for i in range(low, j + 1)]) for a, b in pairwise(past)]
                r = np.concatenate([past[-1][1][i] for i in range(low, j + 1)])
                gamma = np.linalg.solve(np.array(dR) @ np.array(dR).T + ridge * np.eye(len(dR)), np.array(dR) @ r)
                y = y - sum(g * (b[0][j] - a[0][j]) for g, (a, b) in zip(gamma, pairwise(past), strict=True))
            x[j + 1] = torch.from_numpy(y).view_as(x[0])
        low = first + 1
        last.append(x[-1])
    return torch.stack(last), evaluated


@pytest.mark.parametrize(("order", "m", "tol"), [(8, 2, 1.0), (8, 3, 0.0), (3, 2, 3.0), (1, 4, 10.0)])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_rounds_are_those_of_the_released_loop(order, m, tol, eta):
    chain = first_image(8, eta=eta)
    drawn, last = traced(chain, order=order, m=m, tol=tol)
    expected, evaluated = textbook(chain, order, m, 1e-3, tol)
    assert (len(last), int(drawn.nfe)) == (len(expected), evaluated)
    assert (evaluated < 8 * 9 // 2) == (tol > 0)
    torch.testing.assert_close(last, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "options", [{}, {"m": 1}, {"m": 4}, {"order": 3}, {"order": 1, "window": 7}, {"window": 10, "m": 3}, {"ridge": 0.0}]
)
def test_run_to_the_end_it_gives_the_sequential_chain(options, eta):
    chain, *_ = make(25, eta=eta, grid="uniform-paper")
    drawn = sample("parataa", chain, {"tol": 0.0, **options})
    assert relative(drawn.states, torch.stack(list(chain.walk()), 1)) < 1e-12
    assert (drawn.rounds <= chain.steps).all() and set(drawn.stopped) == {"converged"}


def test_an_order_computes_each_state_from_that_many_steps_before():
    chain = first_image(9, eta=0.5)
    states = torch.randn(7, *chain.x_T.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = chain.step_terms(states, torch.arange(2, 9))
    for order in (1, 3, 7, 20):
        one, many = sweeps(chain, states, terms, slice(2, 9), order)
        for j in range(7):
            torch.testing.assert_close(one[j], step(chain, 2 + j, states[j]))
            start = max(0, j + 1 - order)
            y = states[start]
            for i in range(start, j + 1):
                y = frozen_step(chain, 2 + i, y, states[i])
            torch.testing.assert_close(many[j], y)


def test_memory_1_repeats_as_picard_does():
    chain = first_image(20)
    _, last = traced(chain, m=1, tol=0.0, max_iter=12)
    rows = []
    solve(chain, chain.initial(), tol=0.0, max_iter=12, on_round=lambda **row: rows.append(row["fz"][0, -1].clone()))
    torch.testing.assert_close(last, torch.stack(rows), rtol=1e-10, atol=1e-10)


def test_settled_states_are_not_evaluated_again():
    chain = first_image(20)
    drawn, last = traced(chain, m=1, tol=0.0)
    assert int(drawn.rounds) == len(last) == 20
    assert int(drawn.nfe) == 20 * 21 // 2


@pytest.mark.parametrize("window", [1, 4])
def test_no_round_evaluates_more_than_the_window(window):
    told = []
    chain = first_image(12)
    drawn = sample("parataa", chain, {"window": window}, on_round=lambda round: told.append(int(round.nfe)))
    assert max(told) == window and int(drawn.nfe) == sum(told)


def test_mixing_takes_fewer_rounds_than_repetition():
    chain, *_ = make(50)
    exact = torch.stack(list(chain.walk()), 1)
    rounds = []
    for m in (1, 3):
        drawn = sample("parataa", chain, {"m": m, "tol": 1e-6})
        assert relative(drawn.states, exact) < 1e-4
        rounds.append(int(drawn.rounds.max()))
    assert rounds[1] < rounds[0]


def test_rounds_can_be_limited():
    chain, *_ = make(20)
    drawn = sample("parataa", chain, {"tol": 0.0, "max_iter": 3})
    assert drawn.rounds.tolist() == [3, 3] and set(drawn.stopped) == {"max_iter"}


def test_float32_ends_near_the_sequential_chain():
    chain, *_ = make(50, dtype=torch.float32, double=False)
    drawn = sample("parataa", chain, {"tol": 1e-5})
    assert drawn.states.dtype == torch.float32
    assert relative(drawn.x0, list(chain.walk())[-1]) < 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"m": 0}, r"m: expected an integer in \[1, 1000000\]; found 0"),
        ({"order": 0}, "order: expected"),
        ({"window": 0}, "window: expected"),
        ({"max_iter": 0}, "max_iter: expected"),
        ({"ridge": -1.0}, "ridge: expected .*; found -1.0"),
        ({"tol": float("nan")}, "tol: expected .*; found NaN"),
    ],
)
def test_a_setting_out_of_range_is_one_clear_sentence(options, words):
    chain, *_ = make(5, grid="uniform-paper")
    with pytest.raises(UserError, match=words):
        sample("parataa", chain, options)
