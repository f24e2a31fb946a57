import pytest
import torch

from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from tests.diffusion.chains import make, relative


@pytest.mark.parametrize("steps", [1, 2, 50])
@pytest.mark.parametrize(("window", "tol"), [(10, 0.1), (1.0, 0.01), (7, 0.0)])
def test_diffusers_steps_end_where_ours_do(steps, window, tol):
    chain, *_ = make(steps)
    options = {"window": window, "tol": tol}
    theirs, ours = (sample(name, chain, options) for name in ("diffusers-parallel", "paradigms"))
    assert relative(theirs.states, ours.states) < 1e-12
    if tol:  # at 0 their rounding decides whether a state stands still
        assert torch.equal(theirs.rounds, ours.rounds) and torch.equal(theirs.nfe, ours.nfe)


def test_its_last_step_lands_at_alpha_bar_1_though_the_chain_ends_elsewhere():
    chain, eps, _, made = make(50, set_alpha_to_one=False)
    drawn = sample("diffusers-parallel", chain, {"tol": 0.0})
    walked = torch.stack(list(chain.walk()), 1)
    assert relative(drawn.states[:, :-1], walked[:, :-1]) < 1e-12
    a, x = made.alphas_cumprod[0], walked[:, -2]
    clean = (x - (1 - a).sqrt() * eps(x, torch.zeros(len(x)))) / a.sqrt()
    assert relative(drawn.x0, clean) < 1e-12
    assert relative(drawn.x0, walked[:, -1]) > 1e-5


def test_what_diffusers_does_not_walk_is_refused():
    for grid in ("uniform-paper", "quadratic-paper", "quadratic-released"):
        chain, *_ = make(30, grid=grid)
        with pytest.raises(UserError, match="expected no grid other than uniform-released, since diffusers' scheduler"):
            sample("diffusers-parallel", chain, {})
    noisy, *_ = make(10, eta=0.5)
    with pytest.raises(UserError, match="expected no eta > 0, since diffusers' DDIMParallelScheduler"):
        sample("diffusers-parallel", noisy, {})
