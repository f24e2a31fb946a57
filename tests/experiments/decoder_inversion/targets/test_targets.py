"""Targets as a job writes them: those of the algorithms, each the same whatever their count."""

from pathlib import Path

import pytest
import torch

from deqbench.data import datasets
from deqbench.decoder_inversion.codec import Codec
from deqbench.errors import UserError
from deqbench.experiments.decoder_inversion.models import latent_model
from deqbench.experiments.decoder_inversion.shared import Model, ModelSlice
from deqbench.experiments.decoder_inversion.target_files import Targets, load
from deqbench.experiments.decoder_inversion.targets import measure
from tests.command_line import Ran, run
from tests.decoder_inversion import tiny

CODES = Model(autoencoder="small-vae", targets="codes", tuning=2, test=3, noise=0.1)
STAGE = "decoder_inversion.targets.targets"


def settings(model: Model) -> str:
    about = {"paper": "decoder-inversion", "experiment": "targets", "seed": 5, "device": "cpu", "max_batch": 8}
    return ModelSlice(**about, dataset="noisy", model=model).model_dump_json()


@pytest.fixture
def network(tmp_path):
    tiny.vae().save_pretrained(tmp_path / "small-vae")
    return tmp_path / "small-vae"


def ran(settings: str, network: Path, out: Path) -> Ran:
    files = ("--input", f"autoencoder={network}", "--output", f"targets={out}")
    return run("run", STAGE, "--settings", settings, *files)


def test_targets_are_written_as_they_are_made(network, tmp_path):
    out = tmp_path / "targets/noisy.safetensors"
    assert ran(settings(CODES), network, out).code == 0
    vae = tiny.vae().to(memory_format=torch.channels_last)  # as it is loaded; sums go in another order
    wanted = measure.by_split(Codec(vae, max_batch=8), None, CODES, 5)
    for split, held in load(out).items():
        torch.testing.assert_close(held.z, wanted[split].z)
        torch.testing.assert_close(held.x, wanted[split].x)
    assert len(wanted["test"].z) == 3 and len(wanted["tuning"].z) == 2


def test_a_folder_without_a_network_is_refused_in_a_sentence_and_nothing_is_written(tmp_path):
    (tmp_path / "small-vae").mkdir()
    out = tmp_path / "targets"
    assert "small-vae" in ran(settings(CODES), tmp_path / "small-vae", out / "noisy.safetensors").sentence
    assert not out.exists() or not list(out.iterdir())


def test_settings_of_another_form_are_refused_in_a_sentence(network, tmp_path):
    wrong = settings(CODES).replace('"codes"', '"cods"')
    words = "model.targets: expected one of diffusion, one-step, codes; found "
    assert words in ran(wrong, network, tmp_path / "noisy.safetensors").sentence


def made(count: int, **settings: object) -> dict[str, Targets]:
    model = Model.model_validate(
        {"autoencoder": "vae", "denoiser": "net", "targets": "diffusion", "steps": 4, "tuning": 2, "test": count}
        | settings
    )
    network = latent_model(tiny.denoiser(), model) if model.denoiser else None
    return measure.by_split(Codec(tiny.vae()), network, model, seed=3)


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
    frames = measure.path(first, last, 4)
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
