"""The promises of every registered solver, over every problem it may be asked to solve."""

import pytest
import torch

from deqbench.solvers import solve, solvers
from tests.problems import Counted, Problem, problems

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
PROBLEMS = {problem.name: problem for problem in problems()}
CASES = [(s, p) for s in solvers() for p in PROBLEMS if not (s == "picard" and PROBLEMS[p].needs_mixing)]
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
EVERY = pytest.mark.parametrize(("solver", "name"), CASES)


def run(solver: str, problem: Problem, f: Counted | None = None, dtype: torch.dtype = torch.float64, **more):
    return solve(
        f if f is not None else problem.of(dtype),
        problem.z0.to(dtype),
        solver=solver,
        **{"tol": TOLERANCE[dtype], "max_iter": problem.rounds, **more},
    )


def apart(solution: torch.Tensor, answer: torch.Tensor) -> float:
    """The largest distance of a sample from its answer, relative to the answer's length."""
    solution, answer = solution.double().flatten(1), answer.flatten(1)
    return float(((solution - answer).norm(dim=1) / answer.norm(dim=1)).max())


@DTYPES
@EVERY
def test_the_solution_is_a_fixed_point_and_the_known_one(solver, name, dtype):
    problem = PROBLEMS[name]
    solution = run(solver, problem, dtype=dtype)
    good = problem.solvable
    assert [reason == "converged" for reason in solution.stopped] == good.tolist()
    assert torch.equal(solution.converged, good)
    samples = good.nonzero()[:, 0]
    again = problem.of(dtype).evaluate(solution.z[good], samples)
    assert apart(again, solution.z[good].double()) < 3 * TOLERANCE[dtype]
    assert apart(solution.z[good], problem.answer[good]) < 30 * TOLERANCE[dtype]


@DTYPES
@EVERY
def test_shape_and_dtype_stay_and_the_callers_start_is_untouched(solver, name, dtype):
    problem = PROBLEMS[name]
    z0 = problem.z0.to(dtype)
    before = z0.clone()
    solution = solve(problem.of(dtype), z0, solver=solver, max_iter=7)
    assert torch.equal(z0, before)
    assert solution.z.dtype == solution.state.dtype == dtype
    assert solution.z.shape == solution.state.shape == z0.shape
    assert {trace.dtype for trace in solution.absolute + solution.relative} == {torch.float64}
    assert solution.rounds.dtype == torch.int64


@EVERY
@pytest.mark.parametrize("select", [True, False])
def test_traces_have_as_many_rows_as_rounds_ran_and_evaluations_are_what_was_called(solver, name, select):
    problem = PROBLEMS[name]
    f = problem.of(torch.float64, select)
    solution = run(solver, problem, f)
    assert (
        [len(trace) for trace in solution.absolute]
        == [len(trace) for trace in solution.relative]
        == solution.rounds.tolist()
    )
    assert solution.evaluations == sum(f.calls)
    assert len(f.calls) == solution.rounds.max()
    assert solution.evaluations == (solution.rounds.sum() if select else solution.rounds.max() * len(problem.z0))


@EVERY
def test_the_result_is_an_evaluation_and_its_residual_the_last_row(solver, name):
    problem = PROBLEMS[name]
    solution = run(solver, problem, max_iter=6)
    z = problem.of(torch.float64)(solution.state)
    torch.testing.assert_close(z, solution.z, rtol=0, atol=0, equal_nan=True)
    for i in problem.solvable.nonzero()[:, 0]:
        step = (solution.z[i] - solution.state[i]).norm()
        torch.testing.assert_close(solution.absolute[i][-1], step, rtol=1e-12, atol=0)
        torch.testing.assert_close(solution.relative[i][-1], step / solution.z[i].norm(), rtol=1e-12, atol=0)


@EVERY
@pytest.mark.parametrize("select", [True, False])
def test_each_sample_alone_gives_what_it_gives_in_the_batch(solver, name, select):
    problem = PROBLEMS[name]
    together = run(solver, problem, problem.of(torch.float64, select), tol=1e-8)
    for i in range(len(problem.z0)):
        f = problem.of(torch.float64)
        alone = solve(
            f.select(torch.tensor([i])), problem.z0[i : i + 1], solver=solver, tol=1e-8, max_iter=problem.rounds
        )
        assert alone.stopped[0] == together.stopped[i]
        assert abs(alone.rounds[0] - together.rounds[i]) <= (0 if alone.rounds[0] < 40 else 2)
        if problem.solvable[i]:
            assert apart(alone.z, together.z[i : i + 1]) < 1e-7
            rows = slice(0, 8)  # later rows of a long run feel the rounding of the first
            torch.testing.assert_close(alone.absolute[0][rows], together.absolute[i][rows], rtol=1e-5, atol=1e-13)


@EVERY
def test_a_sample_that_is_no_longer_finite_is_reported_and_the_others_go_on(solver, name):
    problem = PROBLEMS[name]
    for stop in ("sample", "batch"):
        solution = run(solver, problem, stop=stop)
        expected = ["converged" if good else "diverged" for good in problem.solvable]
        assert list(solution.stopped) == expected
        assert solution.z[problem.solvable].isfinite().all()


@EVERY
@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_max_iter_counts_evaluations_and_tol_0_uses_them_all(solver, name, max_iter):
    problem = PROBLEMS[name]
    f = problem.of(torch.float64)
    solution = run(solver, problem, f, tol=0.0, max_iter=max_iter)
    exact = [float(trace[-1]) == 0 for trace in solution.absolute]
    assert len(f.calls) <= max_iter
    for reason, rounds, is_exact in zip(solution.stopped, solution.rounds, exact, strict=True):
        assert reason == "diverged" or (reason, int(rounds)) == ("max_iter", max_iter) or is_exact


@EVERY
def test_the_callback_hears_of_every_round_once_and_only_of_active_samples(solver, name):
    problem = PROBLEMS[name]
    heard = []

    def listen(*, k, state, fz, indices, absolute, relative):
        assert state.shape == fz.shape == (len(indices), *problem.z0.shape[1:])
        assert absolute.dtype == relative.dtype == torch.float64
        heard.append((k, indices.tolist(), absolute.tolist(), relative.tolist()))

    solution = run(solver, problem, on_round=listen, max_iter=60, tol=1e-4)
    assert [row[0] for row in heard] == list(range(1, int(solution.rounds.max()) + 1))
    for i in range(len(problem.z0)):
        mine = [(a[ids.index(i)], r[ids.index(i)]) for _, ids, a, r in heard if i in ids]
        trace = torch.stack([solution.absolute[i], solution.relative[i]], 1)
        torch.testing.assert_close(torch.tensor(mine, dtype=torch.float64), trace, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("solver", solvers())
def test_an_unknown_option_is_an_error_that_names_the_known_ones(solver):
    with pytest.raises(ValueError, match=r"no_such_option: expected one of \w+.*; found an unknown option"):
        solve(lambda z: z, torch.zeros(1, 2), solver=solver, no_such_option=1)


@pytest.mark.parametrize("solver", solvers())
def test_an_empty_batch_needs_no_evaluation(solver):
    solution = solve(lambda z: 1 / 0, torch.zeros(0, 2, 2), solver=solver)
    assert (solution.evaluations, solution.stopped, solution.z.shape) == (0, (), (0, 2, 2))


@pytest.mark.parametrize("solver", solvers())
def test_a_map_may_reuse_its_output_buffer(solver):
    problem = PROBLEMS["linear"]
    buffer = torch.empty_like(problem.z0)
    fresh = problem.of(torch.float64, select=False)
    expected = run(solver, problem, fresh)
    solution = run(solver, problem, lambda z: buffer.copy_(fresh(z)))
    kept = solution.z.clone()
    buffer.fill_(7)
    assert torch.equal(solution.z, expected.z) and torch.equal(solution.z, kept)
    assert torch.equal(solution.rounds, expected.rounds)
