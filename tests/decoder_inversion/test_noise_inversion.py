"""From latents back to noise, against models whose inverse is known."""

import pytest
import torch

from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.decoder_inversion.noise_inversion import recovered
from tests.decoder_inversion import tiny

LABELS = torch.tensor([0, 1, 2])


@pytest.fixture
def x_T() -> torch.Tensor:
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def linear(slope: float, guidance: float = 1.0) -> LatentModel:
    return LatentModel(tiny.network(tiny.LinearEps(slope)), "diffusion", guidance, steps=20)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_backward_euler_finds_the_noise_of_a_linear_model(x_T: torch.Tensor, guidance: float) -> None:
    model = linear(0.5, guidance)
    states = model.trajectory(x_T, LABELS)
    inversion = recovered(model, states[-1], LABELS, iterations=100, damping=0.9, tol=1e-12)
    torch.testing.assert_close(inversion.x_T, x_T, rtol=0, atol=1e-6)
    assert inversion.residual.max() < 1e-11
    for mine, wanted in zip(inversion.states, states, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.latents(inversion.x_T, LABELS), states[-1], rtol=0, atol=1e-6)


def test_one_iteration_adds_the_noise_predicted_at_the_earlier_state(x_T: torch.Tensor) -> None:
    model = LatentModel(tiny.denoiser(), "diffusion", steps=10)
    z = model.latents(x_T.float(), LABELS)
    alpha_bar, tau = model.network.schedule.alpha_bar, torch.arange(0, 1000, 100)
    x = z
    with torch.no_grad():
        for t in tau:  # the eps of the later timestep at the earlier state
            here = alpha_bar[t].float()
            before = alpha_bar[t - 100].float() if t else torch.tensor(model.network.schedule.final_alpha_bar)
            eps = model.network.net(x, t, LABELS).sample
            clean = (x - (1 - before).sqrt() * eps) / before.sqrt()
            x = here.sqrt() * clean + (1 - here).sqrt() * eps
    torch.testing.assert_close(recovered(model, z, LABELS).x_T, x, rtol=1e-4, atol=1e-4)


def test_without_guidance_the_class_plays_no_part(x_T: torch.Tensor) -> None:
    model = linear(0.5, 7.5)
    inversion = [recovered(model, x_T, labels, guided=False).x_T for labels in (LABELS, LABELS.flip(0))]
    torch.testing.assert_close(*inversion)
    others = [recovered(model, x_T, labels).x_T for labels in (LABELS, LABELS.flip(0))]
    assert (others[0] - others[1]).abs().max() > 0.1


def test_a_generator_of_one_step_is_inverted(x_T: torch.Tensor) -> None:
    model = LatentModel(tiny.network(tiny.LinearEps(0.6)), "one-step")
    z = model.latents(x_T.float(), LABELS)
    inversion = recovered(model, z, LABELS, iterations=100)
    torch.testing.assert_close(inversion.x_T, x_T.float(), rtol=0, atol=1e-4)


def test_a_step_that_expands_is_reported(x_T: torch.Tensor) -> None:
    model = LatentModel(tiny.network(tiny.LinearEps(1.5)), "one-step")  # f' = 1.5
    inversion = recovered(model, model.latents(x_T, LABELS), LABELS, iterations=30)
    assert inversion.residual.min() > 0.1


def test_samples_that_settle_early_leave_each_other_their_classes(x_T: torch.Tensor) -> None:
    model = LatentModel(tiny.denoiser(), "diffusion", 3.0, steps=5)
    z = model.latents(x_T.float() * torch.tensor([0.01, 1, 3]).view(-1, 1, 1, 1), LABELS)
    together = recovered(model, z, LABELS, iterations=30, tol=1e-5).x_T
    alone = [recovered(model, z[k, None], LABELS[k, None], iterations=30, tol=1e-5).x_T[0] for k in range(3)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-3, atol=1e-3)
