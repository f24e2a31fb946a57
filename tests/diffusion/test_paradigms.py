import math

import pytest
import torch

from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from tests import oracles
from tests.diffusion.chains import make, relative


def published_loop(eps, x_T, made, steps, window, tol):
    """The algorithm for one image in plain loops, drifts and variances by diffusers: states, rounds, evaluations."""
    made.set_timesteps(steps)
    x = [x_T] * (steps + 1)
    variance = [float(made._get_variance(t, t - 1000 // steps)) for t in made.timesteps] + [0.0]
    begin, rounds, evaluations = 0, 0, 0
    while begin < steps:
        end = min(begin + window, steps)
        new = [x[begin]]
        for j in range(begin, end):
            t = made.timesteps[j]
            new.append(new[-1] + made.step(eps(x[j], t.expand(1)), t, x[j]).prev_sample - x[j])
        moved = [float((new[i] - x[begin + i]).pow(2).sum()) / x_T.numel() for i in range(1, len(new))]
        far = [move > tol**2 * variance[begin + i] for i, move in enumerate(moved, start=1)]
        x[begin : end + 1] = new
        x[end + 1 :] = [new[-1]] * (steps - end)
        rounds, evaluations = rounds + 1, evaluations + end - begin
        begin += min(1 + [*far, True].index(True), end - begin)
    return torch.stack(x[1:], 1), rounds, evaluations


@pytest.mark.parametrize("set_alpha_to_one", [True, False])
@pytest.mark.parametrize(("window", "tol"), [(10, 0.1), (50, 0.1), (7, 0.01), (1, 0.1)])
def test_paradigms_slides_as_the_published_loop_does(window, tol, set_alpha_to_one):
    chain, eps, _, made = make(50, set_alpha_to_one=set_alpha_to_one)
    drawn = sample("paradigms", chain, {"window": window, "tol": tol})
    for i in range(2):
        states, rounds, evaluations = published_loop(eps, chain.x_T[i : i + 1], made, 50, window, tol)
        assert (int(drawn.rounds[i]), int(drawn.nfe[i])) == (rounds, evaluations)
        assert relative(drawn.states[i], states[0]) < 1e-12


@pytest.mark.parametrize("set_alpha_to_one", [True, False])
@pytest.mark.parametrize("window", [1, 10, 1.0])
def test_paradigms_run_to_the_end_is_what_diffusers_walks(window, set_alpha_to_one):
    chain, eps, _, made = make(50, set_alpha_to_one=set_alpha_to_one)
    drawn = sample("paradigms", chain, {"window": window, "tol": 0.0})
    assert relative(drawn.states, oracles.diffusers_walk(eps, chain.x_T, 50, 0.0, None, made)) < 1e-12


def test_a_share_of_the_chain_is_a_number_of_its_steps():
    chain, *_ = make(50)
    share, number = (sample("paradigms", chain, {"window": window}) for window in (0.2, 10))
    assert torch.equal(share.rounds, number.rounds) and torch.equal(share.states, number.states)


def test_states_before_a_step_without_variance_do_not_settle_by_moving_little():
    chain, *_ = make(50)
    drawn = sample("paradigms", chain, {"window": 1.0, "tol": 1e6})
    # One round settles all states but the last two, whose variance is 0 (the next step's, and none).
    assert drawn.rounds.tolist() == [2, 2] and drawn.nfe.tolist() == [51, 51]


@pytest.mark.parametrize("window", [0, 0.0, 1.5, -1, True, math.nan])
def test_a_window_out_of_range_is_one_clear_sentence(window):
    chain, *_ = make(10)
    with pytest.raises(
        UserError, match=r"window: expected an integer in \[1, 1000000\] or a number in \(0, 1\]; found"
    ):
        sample("paradigms", chain, {"window": window})
