"""`deqbench latents`: the targets written are those of the algorithms, and bad input is one sentence."""

import pytest
import torch

from deqbench import jobs
from deqbench.config.decoder import Model
from deqbench.decoder_inversion import making
from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.targets import load
from tests.command_line import run
from tests.decoder_inversion import tiny

CODES = Model(autoencoder="small-vae", targets="codes", tuning=2, test=3, noise=0.1)


def settings(**models: Model) -> str:
    about = {"seed": 5, "device": "cpu", "max_batch": 8}
    found = {name: jobs.decoder.DecoderJob(name=name, model=model, **about) for name, model in models.items()}
    return jobs.decoder.MakeTargets(models=found).model_dump_json()


@pytest.fixture
def network(tmp_path):
    tiny.vae().save_pretrained(tmp_path / "small-vae")
    return tmp_path / "small-vae"


def test_targets_of_all_models_are_written_as_they_are_made(network, tmp_path):
    plain = CODES.model_copy(update={"noise": 0.0})
    out = tmp_path / "targets"
    ran = run(
        "latents", "targets", "--settings", settings(noisy=CODES, plain=plain), "--network", network, "--out", out
    )
    assert ran.code == 0, ran.err
    assert {path.name for path in out.glob("*.safetensors")} == {"noisy.safetensors", "plain.safetensors"}
    vae = tiny.vae().to(memory_format=torch.channels_last)  # as it is loaded; sums go in another order
    wanted = making.targets(Codec(vae, max_batch=8), None, CODES, 5)
    for split, found in load(out / "noisy.safetensors").items():
        torch.testing.assert_close(found.z, wanted[split].z)
        torch.testing.assert_close(found.x, wanted[split].x)
    assert len(wanted["test"].z) == 3 and len(wanted["tuning"].z) == 2


def test_a_folder_without_a_network_is_refused_in_a_sentence_and_nothing_is_written(tmp_path):
    (tmp_path / "small-vae").mkdir()
    out = tmp_path / "targets"
    words = ("--settings", settings(codes=CODES), "--network", tmp_path / "small-vae", "--out", out)
    assert "small-vae" in run("latents", "targets", *words).sentence
    assert not out.exists() or not list(out.iterdir())


def test_settings_of_another_form_are_refused_in_a_sentence(network, tmp_path):
    ran = run("latents", "targets", "--settings", '{"models": 3}', "--network", network, "--out", tmp_path / "targets")
    assert "models" in ran.sentence
