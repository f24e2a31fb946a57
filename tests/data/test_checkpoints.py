"""A checkpoint arrives whole, checked and loadable, or one sentence says what is wrong and nothing is left behind."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deqbench import provenance, zoo
from deqbench.data import checkpoints
from deqbench.data.sources import Checkpoint
from deqbench.errors import UserError
from tests.command_line import Ran, run
from tests.data.stored_networks import WEIGHTS, images, same_weights, unet, words


@pytest.fixture
def tiny(saved, tmp_path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(saved, tmp_path / "tiny")


def fetch(tmp_path: Path, **settings: object) -> Ran:
    return run(*words(tmp_path, tmp_path / "out" / "digits", **settings))


def left_behind(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(tmp_path / "out"))


def test_a_folder_is_copied_with_its_checksums_and_loads_with_every_weight(tmp_path, tiny):
    (tiny / "pytorch_model.bin").write_bytes(b"a pickle")
    ran = fetch(tmp_path, name=str(tiny))
    assert (ran.code, ran.err) == (0, "")
    out = tmp_path / "out" / "digits"
    kept = json.loads((out / "checkpoint.json").read_text())
    assert kept["sha256"] == {WEIGHTS: provenance.sha256(tiny / WEIGHTS)} and kept["name"] == str(tiny)
    assert same_weights(out, tiny)
    assert not list(out.rglob("*.bin"))
    assert left_behind(tmp_path) == ["digits", "digits.provenance.json"]
    facts = json.loads(provenance.sidecar(out).read_text())
    assert facts["sha256"] == kept["sha256"]
    assert facts["parameters"] == sum(p.numel() for p in unet().parameters())


@pytest.mark.parametrize("name", ["digits", "tissue"])
def test_every_diffusion_model_of_the_zoo_is_fetched_and_takes_its_images(tmp_path, name):
    shape = {"digits": (1, 8, 8), "tissue": (3, 16, 16)}[name]
    found = checkpoints.fetch(Checkpoint(source="zoo", name=name), tmp_path / "out")
    network = checkpoints.load(tmp_path / "out")
    checkpoints.check_shape(network, shape, name)
    assert found == {WEIGHTS: provenance.sha256(zoo.path(name) / WEIGHTS)} and same_weights(
        tmp_path / "out", zoo.path(name)
    )
    assert network.net.dtype == torch.float32 and not network.net.training
    with torch.inference_mode():
        eps = network.net(torch.zeros(1, *shape), torch.tensor([500])).sample
    assert eps.shape == (1, *shape) and eps.isfinite().all()


def test_a_network_of_the_zoo_that_was_tampered_with_is_refused(tmp_path, tiny, monkeypatch):
    (tiny / "card.json").write_text(json.dumps({"sha256": {WEIGHTS: "0" * 64}}))
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    ran = fetch(tmp_path, source="zoo", name="tiny")
    assert ran.sentence == f"tiny/{WEIGHTS}: expected sha256 {'0' * 64}; found {provenance.sha256(tiny / WEIGHTS)}"
    assert left_behind(tmp_path) == []


def test_an_unknown_model_of_the_zoo_is_answered_with_the_nearest_one(tmp_path):
    assert fetch(tmp_path, source="zoo", name="digts").sentence.endswith("; found 'digts' (did you mean 'digits'?)")


@pytest.mark.parametrize("source", ["folder", "zoo"])
def test_a_pinned_checksum_that_differs_is_refused_whatever_the_source(tmp_path, tiny, monkeypatch, source):
    true = provenance.sha256(tiny / WEIGHTS)
    (tiny / "card.json").write_text(json.dumps({"sha256": {WEIGHTS: true}}))
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    name = {"folder": str(tiny), "zoo": "tiny"}[source]
    assert fetch(tmp_path, source=source, name=name, sha256={WEIGHTS: true}).code == 0
    found = fetch(tmp_path, source=source, name=name, sha256={WEIGHTS: "f" * 64}).sentence
    assert found == f"{name}/{WEIGHTS}: expected sha256 {'f' * 64}; found {true}"
    found = fetch(tmp_path, source=source, name=name, sha256={"unet/other.safetensors": "f" * 64}).sentence
    assert found == f"{name}/unet/other.safetensors: expected sha256 {'f' * 64}; found no such file"


def weighed(change):
    def spoil(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)

    return spoil


def cut(length: int):
    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length])

    return spoil


def renamed(name: str, other: str):
    return lambda folder: (folder / name).rename(folder / other)


def written(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def configured(**changes):
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return spoil


def scheduled(**changes):
    def spoil(folder: Path) -> None:
        (folder / "scheduler_config.json").write_text(json.dumps(changes))

    return spoil


SCHEDULER = "scheduler_config.json"
NOT_WHOLE = "expected a whole safetensors file; found: "
NOT_ITS_WEIGHTS = "expected the weights of the network in config.json; found"
NOT_FINITE = "expected finite weights; found NaN or infinity"
NO_SCHEDULER = "expected the config of a diffusers scheduler; found: "


@pytest.mark.parametrize(
    ("spoil", "file", "sentence"),
    [
        (shutil.rmtree, "", "expected a checkpoint's folder in diffusers' format; found none"),
        (renamed(WEIGHTS, "diffusion_pytorch_model.bin"), "", "expected weights in safetensors; found none"),
        (renamed(WEIGHTS, "other.safetensors"), "", f"expected config.json and {WEIGHTS}; found no {WEIGHTS}"),
        (renamed("config.json", "config.txt"), "", f"expected config.json and {WEIGHTS}; found no config.json"),
        (cut(0), WEIGHTS, NOT_WHOLE),
        (cut(5), WEIGHTS, NOT_WHOLE),
        (cut(500), WEIGHTS, NOT_WHOLE),
        (cut(-1), WEIGHTS, NOT_WHOLE),
        (written(WEIGHTS, "<html>please log in</html>"), WEIGHTS, NOT_WHOLE),
        (configured(block_out_channels=[8, 16]), WEIGHTS, NOT_ITS_WEIGHTS),
        (configured(down_block_types=["DwnBlock2D", "DownBlock2D"]), WEIGHTS, NOT_ITS_WEIGHTS),
        (configured(layers_per_block=2), WEIGHTS, NOT_ITS_WEIGHTS),
        (written("config.json", "{"), WEIGHTS, NOT_ITS_WEIGHTS),
        (configured(sample_size=None), "config.json", "sample_size: expected the width of an image; found none"),
        (weighed(lambda w: w.pop("conv_in.bias")), WEIGHTS, f"{NOT_ITS_WEIGHTS} 1 missing, such as conv_in.bias"),
        (weighed(lambda w: w.update(x=torch.ones(1))), WEIGHTS, f"{NOT_ITS_WEIGHTS} 1 unexpected, such as x"),
        (weighed(lambda w: w["conv_in.bias"].fill_(float("nan"))), WEIGHTS, NOT_FINITE),
        (weighed(lambda w: w["conv_in.bias"][0].fill_(float("inf"))), WEIGHTS, NOT_FINITE),
        (written(SCHEDULER, "{"), SCHEDULER, NO_SCHEDULER),
        (written(SCHEDULER, "[]"), SCHEDULER, NO_SCHEDULER),
        (scheduled(beta_schedule="square"), SCHEDULER, NO_SCHEDULER),
        (
            scheduled(prediction_type="epsilom"),
            SCHEDULER,
            "prediction_type: expected one of epsilon, sample, v_prediction",
        ),
    ],
)
def test_a_spoilt_folder_is_refused_in_one_sentence_with_nothing_left_behind(tmp_path, tiny, spoil, file, sentence):
    spoil(tiny)
    ran = fetch(tmp_path, name=str(tiny))
    assert ran.sentence.startswith(f"{tiny}/{file}: {sentence}" if file else f"{tiny}: {sentence}")
    assert left_behind(tmp_path) == []


def test_a_refused_checkpoint_leaves_the_one_that_was_there(tmp_path, tiny):
    assert fetch(tmp_path, name=str(tiny)).code == 0
    before = provenance.sha256(tmp_path / "out" / "digits" / WEIGHTS)
    cut(500)(tiny)
    assert fetch(tmp_path, name=str(tiny)).code == 1
    assert provenance.sha256(tmp_path / "out" / "digits" / WEIGHTS) == before
    assert left_behind(tmp_path) == ["digits", "digits.provenance.json"]


def test_a_new_checkpoint_takes_the_place_of_the_old_one_with_all_its_files(tmp_path, tiny):
    assert fetch(tmp_path, name=str(tiny)).code == 0
    (tmp_path / "out" / "digits" / "stale.json").write_text("{}")
    assert fetch(tmp_path, name=str(tiny)).code == 0
    assert not (tmp_path / "out" / "digits" / "stale.json").exists()
    assert left_behind(tmp_path) == ["digits", "digits.provenance.json"]


def test_a_network_for_images_of_another_size_is_refused_with_both_sizes(tmp_path, tiny):
    data = images(tmp_path / "colour.safetensors", 3, 16, 16)
    out, job = tmp_path / "out" / "tissue", {"network": "tissue", "checkpoint": {"source": "folder", "name": str(tiny)}}
    files = ["--input", f"dataset={data}", "--output", f"folder={out}"]
    ran = run("run", "inputs.checkpoint", "--settings", json.dumps(job), *files)
    wanted = "expected a network for images 3x16x16 (C x H x W); found one for 1x8x8"
    assert ran.sentence == f"datasets.tissue.checkpoint: {wanted}"
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("subfolder", [None, "unet", "model"])
def test_a_pipeline_s_folders_and_its_scheduler_are_honoured_then_and_later(tmp_path, tiny, subfolder):
    pipeline, place = tmp_path / "pipeline", subfolder or "unet"
    (pipeline / "scheduler").mkdir(parents=True)
    (tiny / "scheduler_config.json").rename(tmp_path / "unused.json")
    tiny.rename(pipeline / place)
    chosen = {
        "prediction_type": "v_prediction",
        "beta_schedule": "scaled_linear",
        "clip_sample": True,
        "steps_offset": 1,
    }
    scheduled(**chosen)(pipeline / "scheduler")
    ran = fetch(tmp_path, name=str(pipeline), subfolder=subfolder)
    assert ran.code == 0 and ran.err == "clip_sample is switched off: a clipped step is no affine map of eps\n"
    assert set(json.loads((tmp_path / "out/digits/checkpoint.json").read_text())["sha256"]) == {f"{place}/{WEIGHTS}"}
    network = checkpoints.load(tmp_path / "out" / "digits")
    assert network.scheduler.config.prediction_type == "v_prediction" and not network.scheduler.config.clip_sample
    betas = torch.linspace(0.0001**0.5, 0.02**0.5, 1000, dtype=torch.float64) ** 2
    torch.testing.assert_close(network.schedule.alpha_bar, (1 - betas).cumprod(0), rtol=1e-4, atol=0)
    network.scheduler.set_timesteps(10)
    assert network.scheduler.timesteps.tolist() == list(range(900, -1, -100))


def test_a_chain_that_does_not_end_at_the_image_keeps_its_last_alpha_bar(tiny):
    scheduled(set_alpha_to_one=False)(tiny)
    schedule = checkpoints.load(tiny).schedule
    assert schedule.final_alpha_bar == pytest.approx(float(schedule.alpha_bar[0]), abs=0)


def test_weights_stored_in_half_precision_are_loaded_as_float32(tiny):
    unet().half().save_pretrained(tiny)
    assert {p.dtype for p in checkpoints.load(tiny).net.parameters()} == {torch.float32}


def test_loading_a_folder_that_is_not_there_names_it(tmp_path):
    with pytest.raises(
        UserError, match=r"none: expected config\.json and .*; found no config\.json and no diffusion_py"
    ):
        checkpoints.load(tmp_path / "none")
