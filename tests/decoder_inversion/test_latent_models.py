"""Guidance and chains of latents."""

import pytest
import torch

from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.errors import UserError
from tests.decoder_inversion import tiny


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(1))


LABELS = torch.tensor([0, 1, 2, 0, 1])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_guidance_one_is_the_class_and_zero_is_none(noise: torch.Tensor, prediction: str) -> None:
    network = tiny.denoiser(prediction=prediction)
    model, t = LatentModel(network, "diffusion"), torch.full((5,), 300)
    null = torch.full_like(LABELS, tiny.CLASSES - 1)
    with torch.no_grad():
        given, base = network.net(noise, t, LABELS).sample, network.net(noise, t, null).sample
        a = network.schedule.alpha_bar[300].float()
        if prediction == "v_prediction":
            given, base = (a.sqrt() * out + (1 - a).sqrt() * noise for out in (given, base))
        assert not torch.allclose(given, base)
        for guidance, wanted in ((1, given), (0, base), (3, base + 3 * (given - base))):
            torch.testing.assert_close(model.eps(LABELS, guidance)(noise, t), wanted)


def test_a_selection_keeps_each_sample_with_its_class(noise: torch.Tensor) -> None:
    eps, t, some = (
        LatentModel(tiny.denoiser(), "diffusion", 3.0).eps(LABELS),
        torch.full((5,), 300),
        torch.tensor([2, 4]),
    )
    with torch.no_grad():
        torch.testing.assert_close(eps.select(some)(noise[some], t[some]), eps(noise, t)[some])


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_chain_is_the_one_that_diffusers_walks(noise: torch.Tensor, guidance: float) -> None:
    network = tiny.denoiser()
    scheduler, x, null = network.scheduler, noise, torch.full_like(LABELS, tiny.CLASSES - 1)
    scheduler.set_timesteps(10)
    with torch.no_grad():
        for t in scheduler.timesteps:
            base = network.net(x, t, null).sample
            x = scheduler.step(base + guidance * (network.net(x, t, LABELS).sample - base), t, x).prev_sample
    # batches of two make sure that the classes are cut like the states
    generated = LatentModel(network, "diffusion", guidance, 10, max_batch=2).latents(noise, LABELS)
    torch.testing.assert_close(generated, x, rtol=1e-4, atol=1e-4)


def test_one_step_takes_the_velocity_off_once(noise: torch.Tensor) -> None:
    network = tiny.denoiser()
    with torch.no_grad():
        wanted = noise - network.net(noise, torch.tensor(999), LABELS).sample
    generated = LatentModel(network, "one-step", max_batch=2).trajectory(noise, LABELS)
    assert len(generated) == 2
    torch.testing.assert_close(generated[1], wanted)


def test_a_network_without_classes_is_refused(noise: torch.Tensor) -> None:
    network = tiny.denoiser()
    network.net.register_to_config(num_class_embeds=None)
    with pytest.raises(UserError, match="expected a network with classes"):
        LatentModel(network, "diffusion", steps=2).latents(noise, LABELS)
