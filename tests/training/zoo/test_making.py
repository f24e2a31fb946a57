"""The command makes models each upon the one before, and is not shaken by a kill."""

import json

import pytest
import torch

from deqbench import provenance, zoo
from deqbench.data import autoencoders as stored
from deqbench.data import checkpoints, datasets
from deqbench.records import read_frame
from deqbench.training.zoo import autoencoders, making
from tests.command_line import run
from tests.training.zoo.small import CLASSES, KL, LOOP, UNET, recipe, same, toy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An autoencoder, a latent model and a one-step generator of a few steps, trained by the command."""
    out, common = tmp_path_factory.mktemp("made"), {**LOOP, "steps": 4, "dataset": "patches", "data_licence": "none"}
    recipes = {
        "vae": {"kind": "autoencoder", "form": "AutoencoderKL", "network": KL, "l1": 0.1, "kl": 1e-4},
        "latent": {"kind": "latent", "builds_on": "vae", "unet": UNET, "drop": 0.2, "noise": 0.0},
        "one-step": {"kind": "one-step", "builds_on": "latent", "pairs": 6, "teacher_steps": 2},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, "patches", toy)
        for name, told in recipes.items():
            ran = run("zoo", "train", name, "--recipe", json.dumps(common | told), "--out", out / name)
            assert ran.code == 0, ran.err
    return out


def test_each_model_s_card_has_its_checksum_its_base_s_and_what_it_predicts(made):
    cards = {name: json.loads((made / name / "card.json").read_text()) for name in ("vae", "latent", "one-step")}
    for name, card in cards.items():
        assert card["sha256"] == {path.name: provenance.sha256(path) for path in (made / name).glob("*.safetensors")}
    assert cards["latent"]["base_sha256"] == cards["vae"]["sha256"] and cards["latent"]["prediction"] == "epsilon"
    assert cards["one-step"]["base_sha256"] == cards["latent"]["sha256"]
    assert cards["one-step"]["prediction"] == "one-step" and "base_sha256" not in cards["vae"]
    assert not list(made.glob(".*"))  # no progress is left behind


def test_the_codes_of_tuning_images_are_scaled_to_one(made):
    vae = stored.load(made / "vae")
    z = autoencoders.codes(vae, toy().tuning) * vae.config["scaling_factor"]
    assert float(z.std()) == pytest.approx(1, abs=0.01)


def test_a_one_step_generator_starts_from_its_teacher_s_weights(made, tmp_path):
    told = {"kind": "one-step", "builds_on": "latent", "pairs": 6, "teacher_steps": 2, "data_licence": "none"}
    job = json.dumps({**LOOP, "steps": 1, "lr": 1e-12, "dataset": "digits", **told})
    ran = run("zoo", "train", "mine", "--recipe", job, "--out", tmp_path / "out", "--base", made / "latent")
    assert ran.code == 0, ran.err
    one, other = (
        dict(checkpoints.load(folder).net.named_parameters()) for folder in (made / "latent", tmp_path / "out")
    )
    assert same(one, other)


@pytest.mark.parametrize("name", ["latent", "one-step"])
def test_the_networks_are_stored_in_half_precision_and_load_as_denoisers_of_codes(made, name):
    network = checkpoints.load(made / name)
    assert network.shape == (2, 8, 8) and int(network.net.config["num_class_embeds"]) == CLASSES + 1
    assert all(torch.equal(p, p.half().float()) for p in network.net.parameters())


def test_a_base_that_is_not_there_is_one_sentence(tmp_path):
    told = {"kind": "one-step", "builds_on": "latent", "pairs": 6, "teacher_steps": 2, "data_licence": "none"}
    job = json.dumps({**LOOP, "steps": 1, "dataset": "digits", **told})
    ran = run("zoo", "train", "mine", "--recipe", job, "--out", str(tmp_path / "out"))
    assert ran.sentence.startswith("zoo model: expected one of ")
    ran = run("zoo", "train", "mine", "--recipe", job, "--out", str(tmp_path / "out"), "--base", str(tmp_path))
    assert ran.sentence.startswith(f"{tmp_path}: expected config.json and diffusion_pytorch_model.safetensors; found ")


def test_the_history_has_the_loss_of_every_step_and_stays_out_of_the_package(made, tmp_path, monkeypatch):
    history = read_frame(made / "vae" / "history.parquet")
    assert history.step.tolist() == [1, 2, 3, 4] and set(history.split) == {"train"} and history.value.notna().all()
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert run("zoo", "accept", made / "vae").code == 0
    shipped = {path.name for path in (tmp_path / "vae").iterdir()}
    assert shipped == {"card.json", "config.json", "diffusion_pytorch_model.safetensors"}


def test_a_model_whose_making_was_killed_goes_on_to_the_same_files(tmp_path):
    """A classifier, whose dropout draws from torch's own generator."""
    job, digits, seen = recipe("classifier", task="labels", steps=270, batch=2), datasets.digits(), []

    def killed(step, loss):
        if step == 260:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    making.make(job, digits, None, tmp_path / "whole", lambda step, loss: None)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        making.make(job, digits, None, tmp_path / "mine", killed)
    making.make(job, digits, None, tmp_path / "mine", lambda step, loss: seen.append(step))
    assert seen == list(range(251, 271))
    for name in ("model.safetensors", "config.json", "history.parquet"):
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "whole"]  # no progress is left behind
