"""An autoencoder loads with every weight of its file, or one sentence says what is wrong with it."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deqbench import zoo
from deqbench.data import autoencoders, checkpoints
from deqbench.data.sources import Checkpoint
from deqbench.errors import UserError
from tests.command_line import run
from tests.data.test_checkpoints import (
    NOT_FINITE,
    NOT_ITS_WEIGHTS,
    NOT_WHOLE,
    WEIGHTS,
    configured,
    cut,
    renamed,
    weighed,
    written,
)

FORMS = ("AutoencoderKL", "AutoencoderTiny")


def small(form: str):
    """An autoencoder of a few hundred weights, 2x down."""
    import diffusers

    torch.manual_seed(0)
    if form == "AutoencoderTiny":
        channels = {"encoder_block_out_channels": (4, 4), "decoder_block_out_channels": (4, 4)}
        blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
        return diffusers.AutoencoderTiny(latent_channels=2, **channels, **blocks)
    down, up = ["DownEncoderBlock2D"] * 2, ["UpDecoderBlock2D"] * 2
    blocks = {"block_out_channels": (4, 4), "down_block_types": down, "up_block_types": up, "norm_num_groups": 2}
    return diffusers.AutoencoderKL(latent_channels=2, layers_per_block=1, scaling_factor=0.5, **blocks)


@pytest.fixture(scope="session")
def both(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoders")
    for form in FORMS:
        small(form).half().save_pretrained(folder / form)
    return folder


@pytest.fixture
def kl(both, tmp_path) -> Path:
    """A copy of one, to be spoilt."""
    return shutil.copytree(both / "AutoencoderKL", tmp_path / "kl")


@pytest.mark.parametrize("form", FORMS)
def test_an_autoencoder_loads_as_its_class_in_float32_with_every_weight_and_without_a_word(both, form):
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    log = logging.getLogger("diffusers.configuration_utils")
    log.addHandler(handler)
    net = autoencoders.load(both / form)
    log.removeHandler(handler)
    assert type(net).__name__ == form and not net.training
    stored, found = load_file(both / form / WEIGHTS), dict(net.named_parameters())
    assert found.keys() == stored.keys()
    assert all(p.dtype == torch.float32 and torch.equal(p, stored[name].float()) for name, p in found.items())
    assert said == []


def test_the_scale_of_the_codes_is_that_of_the_config(both):
    assert autoencoders.load(both / "AutoencoderKL").config["scaling_factor"] == 0.5


@pytest.mark.parametrize(
    ("spoil", "file", "sentence"),
    [
        (shutil.rmtree, "", f"expected config.json and {WEIGHTS}; found no config.json and no {WEIGHTS}"),
        (renamed(WEIGHTS, "other.safetensors"), "", f"expected config.json and {WEIGHTS}; found no {WEIGHTS}"),
        (renamed("config.json", "config.txt"), "", f"expected config.json and {WEIGHTS}; found no config.json"),
        (cut(0), WEIGHTS, NOT_WHOLE),
        (cut(500), WEIGHTS, NOT_WHOLE),
        (cut(-1), WEIGHTS, NOT_WHOLE),
        (written("config.json", "{"), "config.json", "expected a JSON file; found: "),
        (written("config.json", "[]"), "config.json", "expected the config of an autoencoder; found a list"),
        (
            configured(_class_name="AutoencoderTyny"),
            "config.json",
            "_class_name: expected one of AutoencoderKL, AutoencoderTiny; found 'AutoencoderTyny'"
            " (did you mean 'AutoencoderTiny'?)",
        ),
        (configured(_class_name="UNet2DModel"), "config.json", "_class_name: expected one of AutoencoderKL, "),
        (configured(_class_name=None), "config.json", "_class_name: expected one of AutoencoderKL, "),
        (configured(block_out_channels=[4, 8]), WEIGHTS, NOT_ITS_WEIGHTS),
        (configured(_class_name="AutoencoderTiny"), WEIGHTS, NOT_ITS_WEIGHTS),
        (weighed(lambda w: w.pop("quant_conv.bias")), WEIGHTS, f"{NOT_ITS_WEIGHTS} 1 missing, such as quant_conv.b"),
        (weighed(lambda w: w.update(x=torch.ones(1))), WEIGHTS, f"{NOT_ITS_WEIGHTS} 1 unexpected, such as x"),
        (weighed(lambda w: w["quant_conv.bias"].fill_(float("nan"))), WEIGHTS, NOT_FINITE),
    ],
)
def test_a_spoilt_autoencoder_is_refused_in_one_sentence(kl, spoil, file, sentence):
    spoil(kl)
    with pytest.raises(UserError) as caught:
        autoencoders.load(kl, called="mine")
    found = str(caught.value)
    start = f"mine/{file}: {sentence}" if file else f"mine: {sentence}"
    assert found.startswith(start) and "\n" not in found and str(kl) not in found


@pytest.mark.parametrize("subfolder", [None, "vae", "first_stage"])
def test_the_autoencoder_of_a_pipeline_is_found_in_its_subfolder_then_and_later(kl, tmp_path, subfolder):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    kl.rename(pipeline / (subfolder or "vae"))
    job = Checkpoint(form="autoencoder", source="folder", name=str(pipeline), subfolder=subfolder)
    checkpoints.fetch(job, tmp_path / "out")
    assert type(autoencoders.load(tmp_path / "out")).__name__ == "AutoencoderKL"


def test_the_command_fetches_an_autoencoder_and_counts_its_parameters(kl, tmp_path):
    job = {"network": "mine", "checkpoint": {"form": "autoencoder", "source": "folder", "name": str(kl)}}
    ran = run("run", "inputs.network", "--settings", json.dumps(job), "--output", f"folder={tmp_path / 'out'}")
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads((tmp_path / "out.provenance.json").read_text())
    assert facts["parameters"] == sum(p.numel() for p in small("AutoencoderKL").parameters())


def test_an_autoencoder_in_the_place_of_a_denoiser_is_refused_and_the_other_way_round(both, tmp_path):
    job = Checkpoint(source="folder", name=str(both / "AutoencoderKL"))
    with pytest.raises(UserError, match=r"expected the weights of the network in config\.json"):
        checkpoints.fetch(job, tmp_path / "out")
    job = Checkpoint(form="autoencoder", source="zoo", name="digits")
    with pytest.raises(UserError, match=r"digits/config\.json: _class_name: expected one of .*; found 'UNet2DModel'"):
        checkpoints.fetch(job, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "form"), [("patches-vae", "AutoencoderKL"), ("patches-tiny", "AutoencoderTiny")])
def test_every_autoencoder_of_the_zoo_is_fetched_with_its_checksum_and_takes_patches(tmp_path, name, form):
    found = checkpoints.fetch(Checkpoint(form="autoencoder", source="zoo", name=name), tmp_path / "out")
    assert found == json.loads((zoo.path(name) / "card.json").read_text())["sha256"]
    net = autoencoders.load(tmp_path / "out")
    assert type(net).__name__ == form
    with torch.inference_mode():
        assert net.decode(torch.zeros(1, 4, 8, 8)).sample.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("name", ["patches-latent", "patches-one-step"])
def test_a_conditional_network_of_the_zoo_is_fetched_as_a_denoiser_of_codes(tmp_path, name):
    checkpoints.fetch(Checkpoint(source="zoo", name=name), tmp_path / "out")
    network = checkpoints.load(tmp_path / "out")
    z, t, last = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([999]), [0, 9]
    assert network.shape == (4, 8, 8)
    with torch.inference_mode():
        one, other = (network.net(z, t, torch.tensor([k])).sample for k in last)
    assert one.shape == z.shape and not torch.equal(one, other)
