import pytest
import torch

from deqbench.diffusion.samplers import newton, sample, secant
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.comparison.problems import of_mixture
from deqbench.metrics.errors import relative_error
from tests.diffusion.chains import make, relative


def errors_of(chain):
    """The error of x0 after each iteration, (iterations, B)."""
    exact, sampled_images = list(chain.walk())[-1], []

    def on_round(reached):
        error = relative_error(reached.x0, exact[reached.samples])
        sampled_images.append(
            sampled_images[-1].clone() if sampled_images else torch.ones(len(exact), dtype=error.dtype)
        )
        sampled_images[-1][reached.samples] = error

    result = sample("newton", chain, {"tol": 1e-9}, on_round)
    return torch.stack(sampled_images), result


def test_the_second_iteration_solves_a_linear_network_with_a_full_jacobian():
    chain, *_ = make(50)
    elements = chain.x_T[0].numel()
    drawn = torch.randn(elements, elements, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixing = torch.eye(elements, dtype=torch.float64) + 0.2 * torch.linalg.qr(drawn).Q

    def eps(x, t):
        return ((x.flatten(1) @ mixing.T) * (0.3 + t / 3000)[:, None]).view_as(x) + 0.1

    object.__setattr__(chain, "eps_model", eps)
    errors, _ = errors_of(chain)
    assert (errors[0] > 1e-2).all()
    assert (errors[1] < 1e-8).all()


def test_a_step_answers_to_a_change_as_its_derivative_says():
    chain, eps, *_ = make(10)
    x, change, j = chain.x_T, 1e-3 * chain.x_T.flip(0), torch.tensor(7)
    t = chain.timesteps[j].repeat(len(x))

    def step(y):
        return chain.ratio[j] * y + chain.scale[j] * eps(y, t)

    _, expected = torch.func.jvp(step, (x,), (change,))
    assert relative(newton._response(chain, x, eps(x, t), change, j), expected) < 1e-5
    assert not newton._response(chain, x, eps(x, t), torch.zeros_like(x), j).any()


def test_errors_are_squared_from_iteration_to_iteration_near_the_result():
    problem = of_mixture("mixture-64", "uniform-paper", "cpu", 256, 3)
    chain = problem.chain(50, range(6))
    object.__setattr__(chain, "x_T", chain.x_T.double())
    errors, _ = errors_of(chain)
    close = (errors[:-1] < 2e-2) & (errors[:-1] > 1e-6)
    assert close.sum() >= 3
    assert (errors[1:][close] < 30 * errors[:-1][close].square()).all()


def test_slopes_along_a_change_are_held_between_bounds():
    chain, *_ = make(10)
    object.__setattr__(chain, "eps_model", lambda x, t: -500.0 * x)
    states = torch.randn(2, 10, *chain.x_T.shape[1:], generator=torch.Generator().manual_seed(0)).double()
    known = secant.slopes(chain, 0.2)
    sampled_images, _ = newton._iterated(chain, states, 1, known)
    exact = (chain.ratio - 500.0 * chain.scale)[1:].view(-1, 1, 1, 1) * states[:, :-1]
    assert torch.allclose(sampled_images[:, 0], exact[:, 0])
    for j in range(1, 9):
        assert chain.ratio[1 + j] - 500.0 * chain.scale[1 + j] > known.high[1 + j]
        held = known.high[1 + j] * (sampled_images[:, j - 1] - states[:, j])
        assert relative(sampled_images[:, j] - exact[:, j], held) < 1e-6


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3, 1e-4])
def test_it_stops_once_the_result_moves_by_the_tolerance_at_most(tol):
    problem = of_mixture("mixture-64", "uniform-paper", "cpu", 256, 3)
    moves, last = [{} for _ in range(20)], {}

    def on_round(reached):
        for i, x0 in zip(reached.samples.tolist(), reached.x0, strict=True):
            if i in last:
                moves[i][reached.number] = float((x0 - last[i]).norm() / x0.norm())
            last[i] = x0.clone()

    sample("newton", problem.chain(30, range(20)), {"tol": tol}, on_round)
    assert all(of_image[max(of_image)] <= tol for of_image in moves)


def test_an_iteration_is_two_rounds_but_for_the_first_and_leaves_final_states_alone():
    chain, *_ = make(20)
    sampled_images = sample("newton", chain, {})
    assert (sampled_images.rounds % 2 == 1).all()
    iterations = (sampled_images.rounds + 1) // 2
    for count, nfe in zip(iterations.tolist(), sampled_images.nfe.tolist(), strict=True):
        assert nfe == 20 + sum(2 * (20 - first) - 1 for first in range(1, count))


def test_exact_slopes_take_fewer_iterations_than_learnt_ones():
    problem = of_mixture("mixture-64", "uniform-paper", "cpu", 256, 3)
    chain = problem.chain(50, range(10))
    exact = sample("newton", chain, {"tol": 1e-3})
    learnt = sample("deer", chain, {"tol": 1e-3})
    assert ((exact.rounds + 1) // 2).sum() < (learnt.rounds // 2).sum()


def test_a_negative_tolerance_is_refused():
    chain, *_ = make(5)
    with pytest.raises(UserError, match=r"tol: expected a number in \[0, .*; found -1.0"):
        sample("newton", chain, {"tol": -1.0})
