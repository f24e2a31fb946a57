"""Latent models: codes, dropped labels and guidance do what they say, and their training learns."""

import pytest
import torch

from deqbench.data import datasets
from deqbench.training.zoo import latents
from tests.training.zoo.small import CLASSES, SCHEDULER, Halves, Points, fresh, recipe, same, seeded, trained


def test_codes_are_those_of_every_turned_copy_with_its_label_scaled():
    images, labels = torch.randn(3, 3, 8, 8, generator=seeded(0)), torch.tensor([4, 1, 7])
    z, found = latents.latent_codes(Halves(1.0), images, labels, symmetric=True)
    assert z.shape == (24, 3, 4, 4) and found.tolist() == 8 * [4, 1, 7]
    half = 2 * torch.nn.functional.avg_pool2d(images, 2)  # a mean over squares turns as its image does
    for k in range(24):
        turned = datasets.dihedral(half[k % 3 : k % 3 + 1], torch.tensor([k // 3]))[0]
        torch.testing.assert_close(z[k], turned)  # but for the order of its sums
    z, found = latents.latent_codes(Halves(1.0), images, labels, symmetric=False)
    assert torch.equal(z, half) and torch.equal(found, labels)


@pytest.fixture(scope="module")
def codes() -> datasets.Dataset:
    labels = torch.arange(64) % CLASSES
    z = (2.0 * labels - 1).view(-1, 1, 1, 1) + 0.1 * torch.randn(64, 2, 8, 8, generator=seeded(0))
    return datasets.Dataset(z, z[:8], z[:8], False, labels, labels[:8])


def planned(codes, **changes):
    return fresh(latents.plan_on, recipe("latent", **changes), codes)


def test_a_latent_model_learns_noise_repeatably_and_knows_its_noise_and_its_seed(codes):
    plan = planned(codes)
    before = plan.measure(plan.net)["heldout_eps_mse"]
    weights = trained(plan)
    plan.net.load_state_dict(weights)
    assert plan.measure(plan.net)["heldout_eps_mse"] < 0.8 * before
    assert same(trained(planned(codes)), weights)
    assert not same(trained(planned(codes, noise=0.0)), weights) and not same(trained(planned(codes, seed=1)), weights)


@pytest.mark.parametrize(("drop", "still"), [(0.0, [CLASSES]), (1.0, list(range(CLASSES)))])
def test_dropped_labels_train_the_last_class_and_kept_ones_the_others(codes, drop, still):
    plan = planned(codes, drop=drop, steps=3)
    before = plan.net.class_embedding.weight.detach().clone()
    after = trained(plan)["class_embedding.weight"]
    assert [k for k in range(CLASSES + 1) if torch.equal(before[k], after[k])] == still


@pytest.mark.parametrize(("guidance", "calls"), [(1.0, 5), (3.0, 10), (7.5, 10)])
def test_guidance_moves_the_point_that_is_sampled_away_from_that_of_no_condition(guidance, calls):
    net, labels = Points(), torch.tensor([0, 2])
    x_T = torch.randn(2, 1, 2, 2, generator=seeded(0), dtype=torch.float64)
    found = latents.sampled(net, SCHEDULER, x_T, labels, 5, guidance)
    expected = (3 + guidance * (labels - 3.0)).view(-1, 1, 1, 1).expand_as(found)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)
    assert net.calls == calls
