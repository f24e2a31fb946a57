"""The shipped checkpoints are what their cards say."""

import functools
import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel

from deqbench import provenance, zoo
from deqbench.config.reading import recipes
from deqbench.data import autoencoders, checkpoints, datasets
from deqbench.errors import UserError
from deqbench.metrics.features import load_classifier
from deqbench.training.zoo import classifiers, latents, one_step
from deqbench.training.zoo.autoencoders import codes, quality
from deqbench.training.zoo.diffusion import heldout_loss

RECIPES = recipes(Path(__file__).parents[3] / "config" / "zoo.yaml")


def of_kind(*kinds: str) -> list[str]:
    return sorted(name for name, recipe in RECIPES.items() if recipe.kind in kinds)


DIFFUSION, CLASSIFIERS, AUTOENCODERS = of_kind("diffusion"), of_kind("classifier"), of_kind("autoencoder")
DECODERS = of_kind("autoencoder", "latent", "one-step")
FILES = {
    "diffusion": {"config.json", "scheduler_config.json", "model_index.json", "diffusion_pytorch_model.safetensors"},
    "classifier": {"config.json", "model.safetensors"},
    "autoencoder": {"config.json", "diffusion_pytorch_model.safetensors"},
    "latent": {"config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors"},
    "one-step": {"config.json", "diffusion_pytorch_model.safetensors"},
    "density": {"config.json", "model.safetensors", "course.json"},
    "score-network": {"config.json", "model.safetensors", "course.json"},
}

each_model = pytest.mark.parametrize("model", sorted(RECIPES))


build = functools.cache(datasets.build)


@functools.cache
def built(model: str) -> datasets.Dataset:
    return datasets.build(RECIPES[model].dataset, **getattr(RECIPES[model], "options", {}))


def card(model: str) -> dict:
    return json.loads((zoo.path(model) / "card.json").read_text(encoding="utf-8"))


def test_every_recipe_has_its_model_and_every_model_its_recipe():
    assert zoo.models() == tuple(sorted(RECIPES))


@each_model
def test_a_model_is_its_weights_in_safetensors_its_config_and_its_card_and_no_more(model):
    files = {path.relative_to(zoo.path(model)).as_posix() for path in zoo.path(model).rglob("*") if path.is_file()}
    assert files == FILES[RECIPES[model].kind] | {"card.json"}


@each_model
def test_a_card_tells_where_the_data_and_the_model_come_from(model):
    found, dataset = card(model), built(model)
    assert found["model"] == model and found["data"] == RECIPES[model].dataset
    assert found["data_licence"] == RECIPES[model].data_licence and found["licence"] == "MIT"
    assert found["command"] == "snakemake --cores all zoo" and found["training_s"] > 0
    assert found["splits"] == {split: len(getattr(dataset, split)) for split in datasets.SPLITS}
    assert found["packages"].keys() >= {"torch", "diffusers", "numpy"}


@each_model
def test_a_card_s_recipe_is_the_one_that_the_workflow_would_train_by_today(model):
    assert card(model)["recipe"] == json.loads(RECIPES[model].model_dump_json(exclude={"data_licence"}))


@each_model
def test_a_card_s_checksums_are_those_of_the_weights(model):
    weights = zoo.path(model).glob("*.safetensors")
    assert card(model)["sha256"] == {path.name: provenance.sha256(path) for path in weights}


@pytest.mark.parametrize(("models", "most"), [(DIFFUSION, 4_000_000), (DECODERS, 6_000_000)])
def test_all_models_of_a_paper_together_are_at_most_so_many_bytes(models, most):
    sizes = [path.stat().st_size for model in models for path in zoo.path(model).rglob("*") if path.is_file()]
    assert 0 < sum(sizes) <= most


@pytest.mark.parametrize("model", of_kind("latent", "one-step"))
def test_a_card_names_the_very_weights_that_its_model_builds_on(model):
    assert card(model)["base_sha256"] == card(RECIPES[model].builds_on)["sha256"]
    assert card(model)["prediction"] == {"latent": "epsilon", "one-step": "one-step"}[RECIPES[model].kind]


def test_an_unknown_model_is_answered_with_the_nearest_one():
    with pytest.raises(UserError, match=r"zoo model: expected one of .*; found 'tisue' \(did you mean 'tissue'\?\)$"):
        zoo.path("tisue")


@pytest.mark.parametrize("model", DIFFUSION)
def test_storage_in_half_precision_moves_the_held_out_loss_by_less_than_a_hundredth(model):
    metrics = card(model)["metrics"]
    assert metrics["heldout_eps_mse_fp16_storage"] == pytest.approx(metrics["heldout_eps_mse_fp32"], rel=0.01)


@pytest.mark.parametrize("model", DIFFUSION)
def test_a_diffusion_model_predicts_held_out_noise_as_well_as_its_card_says(model):
    network, dataset = checkpoints.load(zoo.path(model)), build(RECIPES[model].dataset)
    assert sum(p.numel() for p in network.net.parameters()) == card(model)["metrics"]["parameters"]
    loss = heldout_loss(network.net, dataset.tuning, network.schedule.alpha_bar.float())
    assert loss == pytest.approx(card(model)["metrics"]["heldout_eps_mse_fp16_storage"], rel=1e-3)
    assert loss < 0.5  # a network that predicts nothing has 1


@pytest.mark.parametrize("model", AUTOENCODERS)
def test_an_autoencoder_undoes_itself_as_well_as_its_card_says_and_its_codes_are_scaled_to_one(model):
    net, metrics = autoencoders.load(zoo.path(model)), card(model)["metrics"]
    found = quality(net, build("patches").test)
    for name in ("psnr_db", "cycle_nmse_db"):
        assert found[name] == pytest.approx(metrics[f"{name}_fp16_storage"], abs=0.01)
        assert metrics[f"{name}_fp16_storage"] == pytest.approx(metrics[f"{name}_fp32"], abs=0.1)
    assert found["psnr_db"] >= 24 and found["cycle_nmse_db"] <= -15
    scaled = codes(net, build("patches").tuning) * net.config["scaling_factor"]
    assert float(scaled.std()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("model", of_kind("latent"))
def test_a_latent_model_predicts_the_noise_of_test_codes_as_well_as_its_card_says(model):
    network, vae, dataset = checkpoints.load(zoo.path(model)), zoo.path(RECIPES[model].builds_on), build("patches")
    z, labels = latents.latent_codes(autoencoders.load(vae), dataset.test, dataset.test_labels, symmetric=False)
    loss = heldout_loss(network.net, z, network.schedule.alpha_bar.float(), labels)
    assert loss == pytest.approx(card(model)["metrics"]["heldout_eps_mse_fp16_storage"], rel=1e-3)
    assert loss < 0.5


@pytest.mark.parametrize("model", of_kind("one-step"))
def test_a_one_step_generator_is_as_near_to_its_teacher_as_its_card_says(model):
    net, teacher = checkpoints.load(zoo.path(model)).net, checkpoints.load(zoo.path(RECIPES[model].builds_on))
    pairs = one_step.heldout_pairs(teacher.net, teacher.scheduler, RECIPES[model].teacher_steps)
    found = one_step.teacher_error(net, pairs)
    assert found == pytest.approx(card(model)["metrics"]["heldout_teacher_nmse_db_fp16_storage"], abs=0.01)
    assert found < -3  # a generator of zeros has 0 dB


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_a_classifier_is_as_right_on_the_test_split_as_its_card_says_and_its_features_are_standard(model):
    recipe, net = RECIPES[model], load_classifier(zoo.path(model))
    dataset = datasets.build(recipe.dataset)
    found = classifiers.accuracy(net, dataset, recipe.task, recipe.seed)
    assert found == pytest.approx(card(model)["metrics"]["test_accuracy"], abs=0.005)
    features = net.features(dataset.train)
    torch.testing.assert_close(features.mean(0), torch.zeros(32), rtol=0, atol=1e-3)
    torch.testing.assert_close(features.std(0), torch.ones(32), rtol=0, atol=1e-3)


def test_diffusers_own_pipeline_opens_a_model_of_the_zoo():
    from diffusers import DDIMPipeline

    pipeline = DDIMPipeline.from_pretrained(zoo.path("digits"), low_cpu_mem_usage=False, local_files_only=True)
    assert isinstance(pipeline.unet, UNet2DModel) and not pipeline.scheduler.config.clip_sample
