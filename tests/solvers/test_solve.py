"""The loop: stop tests, freezing, errors, norms, registry."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from deqbench.bounds import Share
from deqbench.solvers import solve
from deqbench.solvers.norms import block_length, norms


def rates(*values: float):
    """z -> rate * z + 1 for each sample, with a log of the batch sizes it saw."""
    rate = torch.tensor(values, dtype=torch.float64)[:, None]

    def f(z: torch.Tensor) -> torch.Tensor:
        f.sizes.append(len(z))
        return rate * z + 1

    f.sizes = []
    return f


def test_batch_stop_pools_the_norms_and_ends_all_samples_together():
    rows = []
    solution = solve(
        rates(0.1, 0.9),
        torch.zeros(2, 3).double(),
        stop="batch",
        tol=1e-3,
        on_round=lambda **round: rows.append((round["state"].clone(), round["fz"].clone())),
    )
    pooled = [float((fz - state).norm() / fz.norm()) for state, fz in rows]
    assert pooled[-1] <= 1e-3 and min(pooled[:-1]) > 1e-3
    assert solution.rounds.tolist() == [len(rows)] * 2
    assert solution.stopped == ("converged", "converged")
    assert solution.relative[0][-1] < 1e-12 < 1e-3 < solution.relative[1][-1] * 1.5


def test_sample_stop_ends_each_sample_by_itself():
    solution = solve(rates(0.1, 0.9), torch.zeros(2, 3).double(), tol=1e-3)
    assert solution.rounds[0] < solution.rounds[1]
    for trace in solution.relative:
        assert trace[-1] <= 1e-3 and trace[:-1].min() > 1e-3


def test_a_map_without_select_sees_the_whole_batch_and_finite_values_to_the_end():
    seen = []

    def f(z):
        seen.append(z.clone())
        return torch.tensor([[0.1], [0.9], [1e200]]).double() * z * z.abs() ** torch.tensor([[0.0], [0.0], [1.0]]) + 1

    solution = solve(f, torch.full((3, 2), 3.0).double(), tol=1e-6, max_iter=300)
    assert solution.stopped == ("converged", "converged", "diverged")
    assert all(len(z) == 3 for z in seen)
    assert torch.cat(seen[int(solution.rounds[2]) :]).isfinite().all()
    assert solution.evaluations == 3 * len(seen)


def test_a_result_does_not_change_when_its_sample_is_done_before_the_others():
    early = solve(rates(0.1), torch.zeros(1, 3).double(), tol=1e-6)
    late = solve(rates(0.1, 0.95), torch.zeros(2, 3).double(), tol=1e-6)
    assert torch.equal(early.z[0], late.z[0]) and torch.equal(early.state[0], late.state[0])
    assert torch.equal(early.relative[0], late.relative[0])


def test_an_absolute_tolerance_is_met_by_the_length_of_the_step_whatever_the_state_s():
    far = solve(lambda z: 0.5 * z + 1e3, torch.zeros(1, 4).double(), tol=0.0, atol=1e-3)
    near = solve(lambda z: 0.5 * z + 1e-3, torch.zeros(1, 4).double(), tol=0.0, atol=1e-3)
    for solution in (far, near):
        assert solution.stopped == ("converged",)
        assert solution.absolute[0][-1] <= 1e-3 < solution.absolute[0][:-1].min()
    assert far.rounds.tolist() == [22] and near.rounds.tolist() == [2]  # 2e3 * 2^-k and 2e-3 * 2^-k


def test_a_sample_settles_by_whichever_tolerance_it_meets_first():
    def f(z):
        return 0.5 * z + 1e3

    rounds = [
        int(solve(f, torch.zeros(1, 4).double(), tol=tol, atol=atol).rounds)
        for tol, atol in ((1e-3, 0.0), (0.0, 1e-3), (1e-3, 1e-3))
    ]
    assert rounds[2] == rounds[0] < rounds[1]


def test_batch_stop_pools_absolute_residuals_too():
    solution = solve(rates(0.1, 0.9), torch.zeros(2, 3).double(), stop="batch", tol=0.0, atol=1e-2)
    pooled = torch.stack(solution.absolute).square().sum(0).sqrt()
    assert pooled[-1] <= 1e-2 < pooled[:-1].min()


def test_an_exact_fixed_point_converges_even_at_tolerance_0():
    solution = solve(lambda z: z.clone(), torch.ones(2, 3), tol=0.0)
    assert solution.stopped == ("converged", "converged") and solution.rounds.tolist() == [1, 1]


def test_the_zero_fixed_point_is_found():
    solution = solve(lambda z: 0 * z, torch.ones(1, 3), tol=1e-6)
    assert solution.stopped == ("converged",) and solution.rounds.tolist() == [2]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_scaling_the_problem_does_not_change_the_rounds(scale):
    solution = solve(lambda z: 0.5 * z + scale, torch.zeros(1, 4), tol=1e-5)
    assert solution.rounds.tolist() == [17] and solution.stopped == ("converged",)


@pytest.mark.parametrize("width", [1, 7, 512, 3072, 600_000, 600_011])
def test_float32_norms_are_right_to_rounding_at_any_width(width):
    x = torch.randn(2, width, generator=torch.Generator().manual_seed(0)) + 0.5
    expected = np.linalg.norm(x.double().numpy(), axis=1)
    np.testing.assert_allclose(norms(x, 2 * x), [expected, 2 * expected], rtol=3e-7)


def test_blocks_divide_the_width_and_stay_short_when_they_can():
    for width in (1, 511, 512, 513, 3072, 1000 * 3072, 2 * 300_007):
        assert width % block_length(width) == 0
    assert block_length(1000 * 3072) == 512


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"solver": "andersen"}, "did you mean 'anderson'"),
        ({"tol": -1.0}, "tol: expected"),
        ({"tol": float("nan")}, "tol: expected"),
        ({"atol": -1.0}, "atol: expected"),
        ({"max_iter": 0}, "max_iter: expected"),
        ({"stop": "batches"}, "did you mean 'batch'"),
        ({"damping": 0.0}, "damping: expected"),
    ],
)
def test_a_wrong_value_is_one_clear_sentence(more, words):
    with pytest.raises(ValueError, match=words):
        solve(lambda z: z, torch.zeros(1, 2), **more)


def test_a_near_miss_of_an_option_is_answered_with_its_name():
    with pytest.raises(ValueError, match="did you mean 'damping'"):
        solve(lambda z: z, torch.zeros(1, 2), dampin=0.5)


@pytest.mark.parametrize("wrong", [lambda z: z[:, :1], lambda z: z.double(), lambda z: z[:1]])
def test_a_map_that_changes_shape_or_dtype_is_refused(wrong):
    with pytest.raises(ValueError, match="f: expected"):
        solve(wrong, torch.zeros(2, 2))


def test_whole_numbers_and_scalars_are_no_states():
    for z0 in (torch.zeros(2, 2, dtype=torch.int64), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="z0: expected"):
            solve(lambda z: z, z0)


@dataclass(frozen=True, kw_only=True)
class Halfway:
    """A solver from outside the package."""

    share: Share = 0.5

    def start(self, z0):
        return self

    def select(self, keep):
        pass

    def step(self, state, fz, residual):
        return state + self.share * residual


def test_a_method_from_outside_is_known_by_its_module_and_its_object_is_welcome_too():
    name = f"{__name__}:Halfway"
    by_name = solve(rates(0.5), torch.zeros(1, 2).double(), solver=name, share=0.4, tol=1e-9)
    by_object = solve(rates(0.5), torch.zeros(1, 2).double(), solver=Halfway(share=0.4), tol=1e-9)
    assert by_name.stopped == ("converged",) and torch.equal(by_name.z, by_object.z)
    with pytest.raises(ValueError, match=r"share: expected a number in \(0, 1\]; found 1.5"):
        solve(rates(0.5), torch.zeros(1, 2).double(), solver=name, share=1.5)
    with pytest.raises(TypeError, match="own constructor"):
        solve(rates(0.5), torch.zeros(1, 2).double(), solver=Halfway(), share=0.4)


def test_no_gradients_are_recorded_unless_the_map_enables_them():
    weight = torch.tensor(0.5, requires_grad=True)
    seen = []

    def f(z):
        with torch.enable_grad():
            y = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad((weight * y**2 / 2).sum(), y)
        seen.append((weight * z).requires_grad)
        return slope + 1

    solution = solve(f, torch.zeros(1, 2), tol=1e-6)
    assert solution.stopped == ("converged",) and not solution.z.requires_grad and not any(seen)
