"""Broyden's method against scipy's, the dense formula and closed forms, in float64."""

import numpy as np
import pytest
import torch
from scipy.optimize import NoConvergence, broyden1

from deqbench.solvers import solve
from deqbench.solvers.broyden import Broyden
from tests.problems import problems, random
from tests.solvers.maps import network, record

PROBLEMS = {problem.name: problem for problem in problems()}


def scipys(f, z0: np.ndarray, rounds: int, m: int) -> np.ndarray:
    """The iterates of scipy's broyden1 on f(z) - z from the inverse -I: plain steps, the oldest term dropped first."""
    states = [z0]
    options = {"alpha": 1.0, "line_search": None, "max_rank": m, "reduction_method": "simple"}
    with pytest.raises(NoConvergence):
        broyden1(
            lambda z: f(z) - z,
            z0,
            maxiter=rounds - 1,
            f_tol=1e-300,
            callback=lambda z, _: states.append(z.copy()),
            **options,
        )
    return np.array(states[:rounds])


def dense(f, z: np.ndarray, rounds: int) -> np.ndarray:
    """The iterates with the Jacobian itself kept and updated, and a dense solve a round."""
    jacobian, states = -np.eye(len(z)), [z]
    g = f(z) - z
    while len(states) < rounds:
        s = np.linalg.solve(jacobian, -g)
        z = z + s
        y = f(z) - z - g
        g = g + y
        jacobian = jacobian + np.outer(y - jacobian @ s, s) / (s @ s)
        states.append(z)
    return np.array(states)


@pytest.mark.parametrize("m", [2, 5, 30])
def test_the_iterates_are_those_of_scipy_at_any_memory(m):
    f, z0 = network((3, 4), seed=30), random(1, 3, 4, seed=32)
    states = record(f, z0, 12, solver="broyden", m=m)
    expected = scipys(lambda z: f(torch.from_numpy(z).view(1, 3, 4)).numpy().ravel(), z0.numpy().ravel(), 12, m)
    np.testing.assert_allclose(states.numpy().reshape(expected.shape), expected, rtol=0, atol=1e-8)


def test_while_memory_suffices_the_iterates_are_those_of_the_dense_formula():
    f, z0 = network((3, 4), seed=30), random(1, 3, 4, seed=32)
    states = record(f, z0, 12, solver="broyden")
    expected = dense(lambda z: f(torch.from_numpy(z).view(1, 3, 4)).numpy().ravel(), z0.numpy().ravel(), 12)
    np.testing.assert_allclose(states.numpy().reshape(expected.shape), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_a_linear_problem_of_dimension_n_is_solved_in_2n_steps(n):
    """Gay, "Some convergence properties of Broyden's method" (1979)."""
    A, b = random(n, n, seed=n), random(n, seed=n + 1)
    A = 0.9 * A / torch.linalg.matrix_norm(A, 2)
    solution = solve(lambda z: z @ A.T + b, torch.zeros(1, n).double(), solver="broyden", tol=0.0, max_iter=2 * n + 1)
    answer = torch.linalg.solve(torch.eye(n) - A, b)
    assert (solution.z[0] - answer).norm() / answer.norm() < 1e-8


def test_of_one_number_it_is_the_secant_method():
    states = record(torch.cos, torch.full((1, 1), 0.3, dtype=torch.float64), 6, solver="broyden")[:, 0, 0].tolist()
    x = [0.3, np.cos(0.3)]
    while len(x) < 6:
        g = [np.cos(v) - v for v in x[-2:]]
        x.append(x[-1] - g[1] * (x[-1] - x[-2]) / (g[1] - g[0]))
    np.testing.assert_allclose(states, x, rtol=0, atol=1e-12)


def test_memory_0_is_picard():
    f, z0 = network((3, 4), seed=50), random(2, 3, 4, seed=52)
    torch.testing.assert_close(record(f, z0, 8, solver="broyden", m=0), record(f, z0, 8, solver="picard"))


def test_no_sample_feels_another():
    f, z0 = network((3, 4), seed=50), random(3, 3, 4, seed=52)
    together = record(f, z0, 10, solver="broyden", m=4)
    other = z0.clone()
    other[1] *= 100
    torch.testing.assert_close(record(f, other, 10, solver="broyden", m=4)[:, [0, 2]], together[:, [0, 2]])


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_units_of_a_float32_state_do_not_change_the_rounds(scale):
    f, z0 = network((3, 4), seed=70), random(1, 3, 4, seed=72)

    def scaled(z):
        return (f(z.double() / scale) * scale).to(z.dtype)

    plain = solve(lambda z: f(z.double()).to(z.dtype), z0.float(), solver="broyden", tol=1e-4)
    solution = solve(scaled, (z0 * scale).float(), solver="broyden", tol=1e-4)
    assert solution.stopped == ("converged",) and abs(solution.rounds - plain.rounds) <= 1


def test_a_step_that_teaches_nothing_neither_raises_nor_spoils_the_solution():
    rounds = iter(range(99))

    def f(z):  # g stands still for a round: the slope along the first step is 0
        return z + 1 if next(rounds) < 2 else 0.5 * z + 1

    solution = solve(f, torch.zeros(1, 3).double(), solver="broyden", tol=1e-12, max_iter=60)
    torch.testing.assert_close(solution.z, torch.full((1, 3), 2.0).double())


def test_long_states_in_float32_go_as_in_float64():
    A = torch.linspace(-0.9, 0.9, 8).double().repeat_interleave(100_000)
    z0 = random(1, 800_000, seed=90)
    relative = [
        solve(lambda z: A.to(z.dtype) * z + 1, z0.to(dtype), solver="broyden", tol=0.0, max_iter=8).relative[0]
        for dtype in (torch.float32, torch.float64)
    ]
    torch.testing.assert_close(relative[0], relative[1], rtol=2e-3, atol=1e-7)


def test_a_rotation_converges_that_picard_only_circles():
    rotation = PROBLEMS["rotation"]
    solution = solve(rotation.of(torch.float64), rotation.z0, solver="broyden", tol=1e-10, max_iter=20)
    torch.testing.assert_close(solution.z, rotation.answer, rtol=1e-9, atol=1e-9)


def test_a_negative_memory_is_refused():
    with pytest.raises(ValueError, match=r"m: expected an integer in \[0, 1000000\]; found -1"):
        Broyden(m=-1)
