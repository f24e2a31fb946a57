"""Autoencoders: their loss and their quality are the closed forms, and their training learns."""

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch.distributions import Normal, kl_divergence

from deqbench.training.zoo import autoencoders
from tests.training.zoo.small import FORMS, KL, TINY, Halves, fresh, recipe, same, seeded, toy, trained


def test_the_loss_of_a_distribution_is_its_errors_and_torch_s_own_divergence():
    net, x = fresh(lambda: AutoencoderKL(**KL)), toy().train[:4]
    with torch.no_grad():
        found = autoencoders.autoencoder_loss(net, x, seeded(1), l1=0.3, kl=0.7)
        q = net.encode(x).latent_dist
        error = net.decode(q.mean + q.std * torch.randn(q.mean.shape, generator=seeded(1))).sample - x
        divergence = kl_divergence(Normal(q.mean, q.std), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(found, error.pow(2).mean() + 0.3 * error.abs().mean() + 0.7 * divergence)


def test_the_loss_of_a_code_is_that_of_a_unit_normal_about_it():
    net, x = fresh(lambda: AutoencoderTiny(**TINY)), toy().train[:4]
    with torch.no_grad():
        found = autoencoders.autoencoder_loss(net, x, seeded(1), l1=0.3, kl=0.7)
        z = net.encode(x).latents
        error = net.decode(z).sample - x
        divergence = kl_divergence(Normal(z, 1.0), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(found, error.pow(2).mean() + 0.3 * error.abs().mean() + 0.7 * divergence)


def test_the_quality_of_a_linear_pair_is_the_closed_form():
    flat = torch.linspace(-1, 1, 40).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()
    found = autoencoders.quality(Halves(0.9), flat)
    assert found["cycle_nmse_db"] == pytest.approx(-20, abs=1e-4)
    levels = torch.linspace(-1, 1, 40).double()
    assert found["psnr_db"] == pytest.approx(float((10 * torch.log10(4 / (0.1 * levels) ** 2)).mean()), abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_some_steps_teach_an_autoencoder_its_images_and_the_same_again(form):
    short = {"form": form, "network": FORMS[form], "batch": 4, "steps": 40}
    plans = [fresh(autoencoders.plan, recipe("autoencoder", **short, **more), toy()) for more in ({}, {}, {"l1": 0.5})]
    net = plans[0].net
    before = autoencoders.quality(net, toy().test)["psnr_db"]
    weights = [trained(plan) for plan in plans]
    assert same(*weights[:2]) and not same(weights[0], weights[2])
    net.load_state_dict(weights[0])
    assert autoencoders.quality(net, toy().test)["psnr_db"] > before + 3


def test_the_codes_of_tuning_images_are_scaled_to_one_before_the_network_is_stored():
    plan = fresh(autoencoders.plan, recipe("autoencoder"), toy())
    std = plan.finish(plan.net)["tuning_code_std"]
    assert std * plan.net.config["scaling_factor"] == pytest.approx(1)
    assert float(autoencoders.codes(plan.net, toy().tuning).std()) == pytest.approx(std)
