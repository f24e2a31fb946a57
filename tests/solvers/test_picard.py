"""Picard against closed forms."""

import pytest
import torch

from deqbench.solvers import solve
from tests.problems import problems

PROBLEMS = {problem.name: problem for problem in problems()}


def test_T_rounds_solve_a_strictly_triangular_map_of_T_states_exactly():
    chain = PROBLEMS["chain"]
    steps = chain.z0.shape[1]
    solution = solve(chain.of(torch.float64), chain.z0, tol=0.0, max_iter=steps)
    torch.testing.assert_close(solution.z, chain.answer, rtol=1e-14, atol=1e-14)
    short = solve(chain.of(torch.float64), chain.z0, tol=0.0, max_iter=steps - 1)
    torch.testing.assert_close(short.z[:, :-1], chain.answer[:, :-1], rtol=1e-14, atol=1e-14)
    assert (short.z[:, -1] - chain.answer[:, -1]).abs().max() > 1e-6


def test_a_nilpotent_map_is_solved_exactly_in_as_many_rounds_as_its_index():
    shift = torch.diag(torch.ones(5).double(), -1)  # shift^6 = 0
    b = torch.arange(1.0, 7.0).double()
    solution = solve(lambda z: z @ shift.T + b, torch.randn(3, 6).double(), tol=0.0, max_iter=6)
    assert torch.equal(solution.z, b.cumsum(0).expand(3, 6))


@pytest.mark.parametrize("damping", [1.0, 0.5, 0.2])
def test_the_residual_of_a_scalar_map_falls_by_its_known_rate(damping):
    solution = solve(lambda z: 0.6 * z + 1, torch.zeros(1, 1).double(), tol=0.0, max_iter=20, damping=damping)
    rate = 1 - damping * (1 - 0.6)
    torch.testing.assert_close(solution.absolute[0], rate ** torch.arange(20).double(), rtol=1e-12, atol=1e-15)


def test_a_rotation_needs_damping():
    rotation = PROBLEMS["rotation"]
    circling = solve(rotation.of(torch.float64), rotation.z0, tol=1e-10, max_iter=200)
    damped = solve(rotation.of(torch.float64), rotation.z0, tol=1e-10, max_iter=200, damping=0.5)
    assert set(circling.stopped) == {"max_iter"} and set(damped.stopped) == {"converged"}
    torch.testing.assert_close(damped.z, rotation.answer, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("damping", [0.0, -0.5, 1.01, float("nan")])
def test_damping_outside_its_range_is_refused(damping):
    with pytest.raises(ValueError, match="damping: expected"):
        solve(lambda z: z, torch.zeros(1, 1), damping=damping)
