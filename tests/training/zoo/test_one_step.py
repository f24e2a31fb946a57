"""One-step generators: pairs, the one call and the distance are what they say, and the training learns."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DModel

from deqbench.training.zoo import one_step
from deqbench.training.zoo.plan import Plan, averaged
from tests.training.zoo.small import CLASSES, SCHEDULER, UNET, Points, fresh, recipe, same, seeded, trained


def test_pairs_are_the_teacher_s_points_for_every_class_whatever_the_batch():
    wanted = {"steps": 4, "generator": seeded(3)}
    x_T, labels, z_0 = one_step.teacher_pairs(Points(), SCHEDULER, 50, **wanted)
    assert sorted(set(labels.tolist())) == [0, 1, 2, 3] and x_T.shape == z_0.shape == (50, 1, 2, 2)
    torch.testing.assert_close(z_0, labels.view(-1, 1, 1, 1).expand_as(z_0), rtol=1e-4, atol=1e-4, check_dtype=False)
    again = one_step.teacher_pairs(Points(), SCHEDULER, 50, steps=4, generator=seeded(3), batch=7)
    assert torch.equal(again[0], x_T) and torch.equal(again[1], labels)
    torch.testing.assert_close(again[2], z_0)


def test_one_call_takes_the_velocity_at_the_last_timestep_from_the_noise():
    asked = []

    def net(x, t, labels):
        asked.append((t.tolist(), labels.tolist()))
        return SimpleNamespace(sample=x - labels.view(-1, 1, 1, 1))

    x_T, labels = torch.randn(3, 2, 4, 4, generator=seeded(0)), torch.tensor([2, 0, 1])
    found = one_step.generated(net, x_T, labels)
    torch.testing.assert_close(found, labels.view(-1, 1, 1, 1).expand(3, 2, 4, 4).float())
    assert asked == [([999] * 3, [2, 0, 1])]


def pairs_of(seed: int) -> one_step.Pairs:
    """A teacher that keeps a tenth of the noise about the class's own point."""
    x_T, labels = one_step.drawn(64, CLASSES, (2, 8, 8), seeded(seed))
    return x_T, labels, (2.0 * labels - 1).view(-1, 1, 1, 1) + 0.1 * x_T


def test_a_one_step_generator_comes_near_to_its_teacher_and_the_same_again():
    nets = [fresh(lambda: UNet2DModel(**UNET)) for _ in range(2)]
    before = one_step.teacher_error(nets[0], pairs_of(1))
    plans = [Plan(net, one_step.pair_loss, pairs_of(0), averaged(recipe("one-step", steps=40))) for net in nets]
    weights = [trained(plan) for plan in plans]
    assert same(*weights)
    nets[0].load_state_dict(weights[0])
    assert one_step.teacher_error(nets[0], pairs_of(1)) < before - 3


def test_the_distance_to_the_teacher_is_the_ratio_of_squares_in_decibels():
    x_T, labels, z_0 = pairs_of(2)
    ten_percent_off = torch.nn.Identity()
    ten_percent_off.forward = lambda x, t, k: SimpleNamespace(sample=x - 1.1 * z_0)
    assert one_step.teacher_error(ten_percent_off, (x_T, labels, z_0)) == pytest.approx(-20, abs=1e-3)
