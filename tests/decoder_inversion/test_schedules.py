"""Learning rates against their formula and against diffusers' own schedule."""

import math

import pytest
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup

from deqbench.decoder_inversion.schedules import rates


def test_the_schedule_is_its_formula():
    planned = rates(0.1, "warmup-cosine", 50)
    expected = [0.1 * (i + 1) / 5 for i in range(5)]
    expected += [0.05 * (1 + math.cos(math.pi * (i - 5) / 45)) for i in range(5, 40)]
    expected += [expected[-1]] * 10
    assert planned == pytest.approx(expected, rel=1e-12)


def test_between_warm_up_and_hold_the_rates_are_diffusers_cosine():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=10, num_training_steps=100)
    theirs = []
    for _ in range(80):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates(0.1, "warmup-cosine", 100)[10:80] == pytest.approx(theirs[10:80], rel=1e-9)


@pytest.mark.parametrize("iterations", [1, 5, 9, 10, 11, 200])
def test_every_number_of_iterations_has_its_rates(iterations):
    planned = rates(0.01, "warmup-cosine", iterations)
    assert len(planned) == iterations
    assert all(0 < rate <= 0.01 for rate in planned)
    assert max(planned) == pytest.approx(0.01)


def test_rates_laid_out_for_100_iterations_are_held_beyond():
    planned = rates(0.01, "warmup-cosine", 200, hold_after=100)
    assert planned[:100] == rates(0.01, "warmup-cosine", 100)
    assert planned[100:] == [planned[99]] * 100
    assert rates(0.01, "warmup-cosine", 50, hold_after=100) == rates(0.01, "warmup-cosine", 50)
    assert rates(0.01, "warmup-cosine", 200) != planned


def test_a_fixed_rate_stays():
    assert rates(0.3, "fixed", 4) == [0.3] * 4
