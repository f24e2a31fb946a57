"""Noise-prediction networks: their training is repeatable, sees the train split only, and does learn."""

import pytest
import torch

from deqbench.data import datasets
from deqbench.training.zoo import diffusion
from tests.training.zoo.small import SCHEDULER, UNET, fresh, recipe, same, trained

NET = {key: value for key, value in UNET.items() if key != "num_class_embeds"} | {"in_channels": 1, "out_channels": 1}


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def planned(dataset, **changes):
    settings = {"steps": 30, "batch": 16, "lr": 4e-3, **changes}
    return fresh(diffusion.plan, recipe("diffusion", unet=NET, **settings), dataset)


@pytest.fixture(scope="module")
def weights(digits):
    """What 30 steps make of a small network."""
    return trained(planned(digits))


def test_a_few_steps_lower_the_held_out_loss_and_half_precision_keeps_it(digits, weights, tmp_path):
    plan = planned(digits)
    before = plan.measure(plan.net)["heldout_eps_mse"]
    plan.net.load_state_dict(weights)
    after = plan.measure(plan.net)["heldout_eps_mse"]
    assert after < 0.8 * before
    stored = plan.measure(plan.store(plan.net, tmp_path))["heldout_eps_mse"]
    assert stored != after and stored == pytest.approx(after, rel=0.01)


def test_training_repeats_itself_to_the_bit_for_the_same_seed_and_only_then(digits, weights):
    assert same(trained(planned(digits)), weights)
    assert not same(trained(planned(digits, seed=1)), weights)


def test_training_sees_the_train_split_only(digits, weights):
    blind = datasets.Dataset(digits.train, digits.tuning * torch.nan, digits.test * torch.nan, symmetric=False)
    assert same(trained(planned(blind)), weights)


def test_a_symmetric_data_set_is_learnt_in_all_its_turns(digits, weights):
    turned = datasets.Dataset(digits.train, digits.tuning, digits.test, symmetric=True)
    assert not same(trained(planned(turned)), weights)


def test_the_loss_of_the_exact_noise_is_zero_and_of_none_its_variance():
    """A batch of zeros: what the network is shown is the noise, scaled."""
    alpha_bar = SCHEDULER.alphas_cumprod

    def exact(x, t, labels):
        return type("Out", (), {"sample": x / (1 - alpha_bar[t].view(-1, 1, 1, 1)).sqrt()})

    def none(x, t, labels):
        return type("Out", (), {"sample": torch.zeros_like(x)})

    x0 = torch.zeros(64, 1, 16, 16)
    losses = [diffusion.diffusion_loss(net, x0, alpha_bar, torch.Generator().manual_seed(0)) for net in (exact, none)]
    assert float(losses[0]) < 1e-10 and float(losses[1]) == pytest.approx(1, abs=0.05)
