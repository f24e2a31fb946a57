"""Guidance, chains of latents and the targets made from them."""

import pytest
import torch

from deqbench.config.decoder import Model
from deqbench.data import datasets
from deqbench.decoder_inversion import making, targets
from deqbench.decoder_inversion.codec import Codec
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
    found = LatentModel(network, "diffusion", guidance, 10, max_batch=2).latents(noise, LABELS)
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_one_step_takes_the_velocity_off_once(noise: torch.Tensor) -> None:
    network = tiny.denoiser()
    with torch.no_grad():
        wanted = noise - network.net(noise, torch.tensor(999), LABELS).sample
    found = LatentModel(network, "one-step", max_batch=2).trajectory(noise, LABELS)
    assert len(found) == 2
    torch.testing.assert_close(found[1], wanted)


def test_a_network_without_classes_is_refused(noise: torch.Tensor) -> None:
    network = tiny.denoiser()
    network.net.register_to_config(num_class_embeds=None)
    with pytest.raises(UserError, match="expected a network with classes"):
        LatentModel(network, "diffusion", steps=2).latents(noise, LABELS)


def made(count: int, **settings: object) -> dict[str, targets.Targets]:
    model = Model.model_validate(
        {"autoencoder": "vae", "denoiser": "net", "targets": "diffusion", "steps": 4, "tuning": 2, "test": count}
        | settings
    )
    network = making.latent_model(tiny.denoiser(), model) if model.denoiser else None
    return making.targets(Codec(tiny.vae()), network, model, seed=3)


@pytest.mark.parametrize("settings", [{}, {"targets": "one-step"}, {"frames": 3}])
def test_a_target_is_the_same_whatever_their_count(settings: dict[str, object]) -> None:
    few, many = made(3, **settings)["test"], made(7, **settings)["test"]
    for name in ("z", "x", "labels", "x_T"):
        torch.testing.assert_close(getattr(few, name), getattr(many, name)[:3], rtol=1e-4, atol=1e-4)
    assert many.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert torch.pdist(many.x_T.flatten(1)).min() > 1  # no two alike


def test_the_splits_share_no_draw() -> None:
    found = made(4)
    distances = (found["test"].x_T[:, None] - found["tuning"].x_T).flatten(2).norm(dim=2)
    assert distances.min() > 1


def test_the_images_are_what_the_decoder_shows() -> None:
    found, vae = made(3)["test"], tiny.vae()
    with torch.no_grad():
        torch.testing.assert_close(found.x, vae.decode(found.z / 0.5).sample, rtol=1e-4, atol=1e-4)


def test_frames_start_on_the_first_draw_and_stay_normal() -> None:
    first, last = torch.randn(2, 200, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    frames = making.path(first, last, 4)
    torch.testing.assert_close(frames[:, 0], first)
    assert (frames.std(dim=(0, 2, 3, 4)) - 1).abs().max() < 0.02
    steps = (frames.diff(dim=1)).flatten(2).norm(dim=2).mean(0)
    assert steps.max() / steps.min() < 1.01  # equal steps


def test_codes_are_of_the_data_set_and_the_noise_has_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(3, 40, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.arange(40)
    data = datasets.Dataset(images[0], images[1], images[2], False, labels, labels)
    monkeypatch.setattr(datasets, "build", lambda source, **options: data)
    settings = {"targets": "codes", "denoiser": None}
    plain, noisy = made(30, **settings)["test"], made(30, noise=0.3, **settings)["test"]
    assert sorted(set(plain.labels.tolist())) == sorted(plain.labels.tolist()) != plain.labels.tolist()
    with torch.no_grad():
        wanted = tiny.vae().encode(images[2][plain.labels]).latent_dist.mode() * 0.5
    torch.testing.assert_close(plain.z, wanted, rtol=1e-4, atol=1e-4)
    assert abs((noisy.z - plain.z).std() / 0.3 - 1) < 0.05
    torch.testing.assert_close(made(5, noise=0.3, **settings)["test"].z, noisy.z[:5], rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="expected at most 40 targets"):
        made(41, **settings)
