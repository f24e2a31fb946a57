"""Anderson against GMRES, dense secant formulas and the textbook loop, all written for the purpose in float64."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import gmres

from deqbench.solvers import solve
from deqbench.solvers.anderson import RELEASED, Anderson
from tests.problems import problems, random
from tests.solvers.maps import network, record

PROBLEMS = {problem.name: problem for problem in problems()}


def textbook(f, z0: np.ndarray, rounds: int, m: int, lam: float, beta: float) -> np.ndarray:
    """Sum-to-one Anderson of the released code, one vector a row: z0 (R, d), f from (R, d) to (R, d).

    Plain start, x_1 = f(x_0); then for each row alpha from the bordered system of G G^T + lam I over the last m rounds.
    """
    X, F = [z0], [f(z0)]
    X.append(F[0])
    while len(X) < rounds:
        F.append(f(X[-1]))
        new = np.empty_like(z0)
        for r in range(len(z0)):
            x, y = np.array([v[r] for v in X[-m:]]), np.array([v[r] for v in F[-m:]])
            n = len(x)
            system = np.zeros((n + 1, n + 1))
            system[0, 1:] = system[1:, 0] = 1
            system[1:, 1:] = (y - x) @ (y - x).T + lam * np.eye(n)
            alpha = np.linalg.solve(system, np.eye(n + 1)[0])[1:]
            new[r] = beta * alpha @ y + (1 - beta) * alpha @ x
        X.append(new)
    return np.array(X)


@pytest.mark.parametrize("mixing", ["chain", "timestep"])
@pytest.mark.parametrize(("m", "lam", "beta"), [(5, 1e-3, 1.0), (3, 1e-1, 0.9), (2, 1e-3, 0.5), (5, 10.0, 1.0)])
def test_the_absolute_ridge_walks_the_textbook_loop_iterate_by_iterate(mixing, m, lam, beta):
    shape, rounds = (2, 4, 3, 2), 14
    f, z0 = network(shape[1:], seed=20), random(*shape, seed=22)
    solver = Anderson(m=m, ridge=lam, ridge_kind="absolute", beta=beta, mixing=mixing, damp_first=False)
    states = record(f, z0, rounds, solver=solver)
    rows = (2, 24) if mixing == "chain" else (8, 6)
    expected = textbook(
        lambda x: f(torch.from_numpy(x).view(shape)).numpy().reshape(rows),
        z0.numpy().reshape(rows),
        rounds,
        m,
        lam,
        beta,
    )
    np.testing.assert_allclose(states.numpy().reshape(expected.shape), expected, rtol=0, atol=1e-10)


def test_the_released_settings_walk_the_textbook_loop():
    shape = (1, 6, 3, 2)
    f, z0 = network(shape[1:], seed=24), random(*shape, seed=26)
    states = record(f, z0, 15, solver=RELEASED)
    expected = textbook(
        lambda x: f(torch.from_numpy(x).view(shape)).numpy().reshape(6, 6), z0.numpy().reshape(6, 6), 15, 5, 1e-3, 1
    )
    np.testing.assert_allclose(states.numpy().reshape(expected.shape), expected, rtol=0, atol=1e-10)


def secant(f, x: np.ndarray, rounds: int, m: int, kind: str, beta: float) -> np.ndarray:
    """Multisecant form over the last m rounds, dense: x - (-beta I + (dX + beta dG) (V^T dG)^-1 V^T) g."""
    X, G = [x], [f(x) - x]
    while len(X) < rounds:
        dX = np.diff(np.array(X[-m:]), axis=0).T
        dG = np.diff(np.array(G[-m:]), axis=0).T
        V = dX if kind == "I" else dG
        gamma = np.linalg.solve(V.T @ dG, V.T @ G[-1]) if dG.size else np.zeros(0)
        X.append(X[-1] + beta * G[-1] - (dX + beta * dG).reshape(len(x), -1) @ gamma)
        G.append(f(X[-1]) - X[-1])
    return np.array(X)


@pytest.mark.parametrize("kind", ["I", "II"])
@pytest.mark.parametrize("beta", [1.0, 0.7])
@pytest.mark.parametrize("m", [2, 4])
def test_both_types_walk_the_dense_secant_formula(kind, beta, m):
    f, z0 = network((3, 4), seed=30), random(1, 3, 4, seed=32)
    states = record(f, z0, 10, solver="anderson", kind=kind, m=m, beta=beta, ridge=0.0)
    expected = secant(
        lambda x: f(torch.from_numpy(x).view(1, 3, 4)).numpy().ravel(), z0.numpy().ravel(), 10, m, kind, beta
    )
    np.testing.assert_allclose(states.numpy().reshape(expected.shape), expected, rtol=0, atol=1e-8)


def test_type_I_and_type_II_differ():
    f, z0 = network((3, 4), seed=30), random(1, 3, 4, seed=32)
    first, second = (record(f, z0, 6, solver="anderson", kind=kind) for kind in ("I", "II"))
    assert (first[-1] - second[-1]).abs().max() > 1e-4


@pytest.mark.parametrize("n", [3, 8, 15])
@pytest.mark.parametrize("kind", ["I", "II"])
def test_a_linear_problem_of_dimension_n_is_solved_in_n_plus_1_steps(kind, n):
    A, b = random(n, n, seed=n), random(n, seed=n + 1)
    A = 0.9 * A / torch.linalg.matrix_norm(A, 2)
    solved = solve(
        lambda z: z @ A.T + b,
        torch.zeros(1, n).double(),
        solver="anderson",
        kind=kind,
        m=n + 2,
        tol=0.0,
        max_iter=n + 2,
    )
    answer = torch.linalg.solve(torch.eye(n) - A, b)
    assert (solved.z[0] - answer).norm() / answer.norm() < 1e-8  # the evaluation after step n + 1


def test_type_II_on_a_linear_problem_is_gmres():
    n = 20
    A, b = random(n, n, seed=40), random(n, seed=41)
    A = 0.95 * A / torch.linalg.matrix_norm(A, 2)
    mixed = record(lambda z: z @ A.T + b, torch.zeros(1, n).double(), 12, solver="anderson", m=20, ridge=0.0)
    system = np.eye(n) - A.numpy()
    for k in range(1, 11):
        solution, _ = gmres(system, b.numpy(), rtol=0, atol=0, restart=k, maxiter=1)
        following = solution + b.numpy() - system @ solution  # Walker and Ni: x_{k+1} = f(GMRES's k-th iterate)
        np.testing.assert_allclose(mixed[k + 1, 0].numpy(), following, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", ["I", "II"])
@pytest.mark.parametrize("mixing", ["chain", "timestep", "triangular"])
def test_window_1_is_picard(kind, mixing):
    f, z0 = network((3, 4), seed=50), random(2, 3, 4, seed=52)
    plain = record(f, z0, 8, solver="picard")
    assert torch.equal(record(f, z0, 8, solver="anderson", m=1, kind=kind, mixing=mixing), plain)
    damped = record(f, z0, 8, solver="picard", damping=0.3)
    torch.testing.assert_close(record(f, z0, 8, solver="anderson", m=1, beta=0.3), damped, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", ["I", "II"])
def test_a_rotation_converges_that_picard_only_circles(kind):
    rotation = PROBLEMS["rotation"]
    solved = solve(rotation.of(torch.float64), rotation.z0, solver="anderson", kind=kind, tol=1e-10, max_iter=20)
    torch.testing.assert_close(solved.z, rotation.answer, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"kind": "I"}, {"ridge": 0.0}, {"ridge": 0.0, "ridge_kind": "absolute"}])
def test_singular_systems_neither_raise_nor_spoil_the_solution(options, dtype):
    def f(z):  # all differences lie on one line
        return z.mean(1, keepdim=True) * torch.tensor([0.5, 0.5, 0.5], dtype=dtype) + 1

    solved = solve(f, torch.zeros(2, 3, dtype=dtype), solver="anderson", m=6, tol=0.0, max_iter=30, **options)
    torch.testing.assert_close(solved.z, torch.full((2, 3), 2.0, dtype=dtype))


def test_rounds_do_not_depend_on_the_units_of_the_state_with_a_relative_ridge():
    f, z0 = network((3, 4), seed=70), random(1, 3, 4, seed=72)
    for kind in ("I", "II"):
        plain, scaled = (
            solve(lambda z, c=c: f(z / c) * c, z0 * c, solver="anderson", kind=kind, ridge=1e-6, tol=1e-9)
            for c in (1.0, 1024.0)
        )
        assert torch.equal(plain.rounds, scaled.rounds) and torch.equal(plain.relative[0], scaled.relative[0])


@pytest.mark.parametrize("ridge_kind", ["relative", "absolute"])
def test_a_huge_ridge_turns_mixing_off(ridge_kind):
    f, z0 = network((3, 4), seed=80), random(1, 3, 4, seed=82)
    states = record(f, z0, 6, solver="anderson", ridge=1e14, ridge_kind=ridge_kind, m=3)
    evaluations = torch.stack([f(z) for z in states])
    weights = {"relative": lambda k: evaluations[k], "absolute": lambda k: evaluations[max(0, k - 2) : k + 1].mean(0)}
    for k in range(5):  # relative: only the latest counts; absolute: equal weights have the least norm
        torch.testing.assert_close(states[k + 1], weights[ridge_kind](k), rtol=1e-9, atol=1e-9)


def test_mixing_beats_repetition_on_a_slow_linear_problem():
    problem = PROBLEMS["unequal components"]
    rounds = [
        solve(problem.of(torch.float64), problem.z0, solver=s, tol=1e-8, max_iter=400).rounds
        for s in ("picard", "anderson")
    ]
    assert (3 * rounds[1] < rounds[0]).all()


def test_float32_mixes_long_states_as_float64_does():
    A = torch.linspace(-0.9, 0.9, 8).double().repeat_interleave(100_000)
    z0 = random(1, 800_000, seed=90)
    relative = [
        solve(lambda z: A.to(z.dtype) * z + 1, z0.to(dtype), solver="anderson", m=4, tol=0.0, max_iter=10).relative[0]
        for dtype in (torch.float32, torch.float64)
    ]
    torch.testing.assert_close(relative[0], relative[1], rtol=2e-3, atol=1e-7)


def test_a_row_too_long_to_divide_is_summed_in_float64():
    width = 10_007  # prime
    A = torch.linspace(-0.9, 0.9, width)
    solved = solve(lambda z: A * z + 1, torch.zeros(2, width), solver="anderson", tol=1e-6)
    torch.testing.assert_close(solved.z, (1 / (1 - A)).expand(2, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"m": 0}, "m: expected"),
        ({"beta": 0.0}, "beta: expected"),
        ({"beta": 1.1}, "beta: expected"),
        ({"ridge": -1e-3}, "ridge: expected"),
        ({"kind": "III"}, "kind: expected one of I, II"),
        ({"mixing": "steps"}, "mixing: expected one of chain, timestep, triangular"),
        ({"ridge_kind": "abs"}, "ridge_kind: expected"),
        ({"kind": "I", "ridge_kind": "absolute"}, "type I has no absolute ridge"),
    ],
)
def test_settings_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Anderson(**options)


def test_a_difference_of_length_0_does_not_keep_the_others_from_mixing():
    z0, (f, g) = random(1, 8, seed=92), random(2, 3, 1, 8, seed=94)

    def last(order: list[int]) -> torch.Tensor:
        window = Anderson(m=4, ridge=0.0).start(z0)
        return [window.step(z0, f[i], g[i]) for i in order][-1]

    torch.testing.assert_close(last([0, 1, 1, 2]), last([0, 1, 2]))


@pytest.mark.parametrize("width", [600_011, 600_000])  # a prime, and one with many divisors
def test_float32_dot_products_are_right_to_rounding_at_any_width(width):
    x = random(1, width, seed=96).float() + 0.5
    window = Anderson().start(x)
    blocks = x.view(window.C, 1, window.c)
    solved = window._dot(blocks, blocks.mT)
    torch.testing.assert_close(solved, x.double().square().sum().view(1, 1, 1), rtol=3e-7, atol=0)
