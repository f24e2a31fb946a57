import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from deqbench.diffusion.schedule import GRIDS, Schedule, large_sigmas, sigmas, timesteps
from deqbench.errors import UserError


@pytest.mark.parametrize("steps", [1, 10, 50, 100, 1000])
def test_the_released_uniform_grid_is_the_leading_spacing_of_diffusers(steps):
    scheduler = DDIMScheduler(timestep_spacing="leading")
    scheduler.set_timesteps(steps)
    assert timesteps("uniform-released", steps).tolist() == scheduler.timesteps.tolist()


@pytest.mark.parametrize(("steps", "paper", "released"), [(50, 49, 49), (100, 97, 96), (1000, 750, 688)])
def test_quadratic_grids_have_the_distinct_steps_of_paper_and_released_code(steps, paper, released):
    by_paper, by_code = timesteps("quadratic-paper", steps), timesteps("quadratic-released", steps)
    assert (len(by_paper), int(by_paper[0])) == (paper, 999)
    assert (len(by_code), int(by_code[0])) == (released, 800)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("steps", [2, 20, 100])
def test_every_grid_descends_without_repeats_to_timestep_zero(grid, steps):
    computed = timesteps(grid, steps)
    assert (computed.diff() < 0).all()
    assert int(computed[-1]) == 0
    assert computed.dtype == torch.int64


@pytest.mark.parametrize(
    ("grid", "steps", "words"),
    [
        ("uniform-released", 300, "divisor of 1000; found 300 (nearest: 250)"),
        ("uniform-paper", 1001, "1 to 1000"),
        ("uniform-paper", 0, "1 to 1000"),
        ("uniform-papers", 10, "did you mean 'uniform-paper'"),
    ],
)
def test_a_grid_that_cannot_be_made_is_one_clear_sentence(grid, steps, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(").replace(")", r"\)")):
        timesteps(grid, steps)


def test_eta_one_is_the_posterior_deviation_of_ddpm():
    alpha_bar = torch.tensor([0.1, 0.4, 0.9, 1.0], dtype=torch.float64)
    beta = 1 - alpha_bar[:-1] / alpha_bar[1:]
    posterior = beta * (1 - alpha_bar[1:]) / (1 - alpha_bar[:-1])
    torch.testing.assert_close(sigmas(alpha_bar, 1.0), posterior.sqrt(), rtol=1e-14, atol=0)
    torch.testing.assert_close(large_sigmas(alpha_bar)[:-1], beta.sqrt()[:-1], rtol=1e-14, atol=0)
    assert large_sigmas(alpha_bar)[-1] == 0


@pytest.mark.parametrize("eta", [-0.1, 1.5])
def test_eta_outside_zero_to_one_is_refused(eta):
    with pytest.raises(UserError, match="eta"):
        sigmas(torch.tensor([0.1, 1.0], dtype=torch.float64), eta)


def test_a_schedule_keeps_where_the_last_step_of_diffusers_lands():
    one = Schedule.of(DDIMScheduler(set_alpha_to_one=True))
    first = Schedule.of(DDIMScheduler(set_alpha_to_one=False))
    assert one.final_alpha_bar == 1.0
    assert first.final_alpha_bar == pytest.approx(0.9999, abs=1e-6)
    assert np.allclose(one.along(timesteps("uniform-released", 10))[-1], 1.0)
