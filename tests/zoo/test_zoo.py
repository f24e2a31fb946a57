"""The shipped checkpoints are what their cards say, and their training is repeatable, resumable and does learn."""

import functools
import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel

from deqbench import config, provenance, zoo
from deqbench.data import autoencoders, checkpoints, datasets
from deqbench.errors import UserError
from deqbench.metrics.features import load_classifier
from deqbench.zoo import classifiers, latents, one_step, training
from deqbench.zoo.autoencoders import codes, quality
from deqbench.zoo.training import heldout_loss

RECIPES = config.recipes(Path(__file__).parents[2] / "config" / "zoo.yaml")


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
}
ALPHA_BAR = DDIMScheduler(num_train_timesteps=1000).alphas_cumprod

each_model = pytest.mark.parametrize("model", sorted(RECIPES))


build = functools.cache(datasets.build)


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
    found, dataset = card(model), build(RECIPES[model].dataset)
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
    loss = heldout_loss(network.net, dataset, network.schedule.alpha_bar.float())
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
    found = datasets.Dataset(z, z, z, symmetric=False, test_labels=labels)
    loss = latents.heldout_loss(network.net, found, network.schedule.alpha_bar.float())
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


# Training, shortened.


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def small_unet(seed: int) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(**RECIPES["digits"].unet | {"block_out_channels": [8, 16]})


def train(net, dataset, **changes):
    settings = {"steps": 30, "batch": 16, "lr": 4e-3, "ema_decay": 0.9, "seed": 0, "bf16": False}
    return training.train_diffusion(net, dataset, ALPHA_BAR, **{**settings, **changes})


@pytest.fixture(scope="module")
def weights(digits):
    """What 30 steps make of a small network."""
    return train(small_unet(0), digits)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_few_steps_lower_the_held_out_loss_and_half_precision_keeps_it(digits, weights):
    net = small_unet(0)
    before = heldout_loss(net, digits, ALPHA_BAR)
    net.load_state_dict(weights)
    after = heldout_loss(net, digits, ALPHA_BAR)
    assert after < 0.8 * before
    stored = heldout_loss(net.half().float(), digits, ALPHA_BAR)
    assert stored != after and stored == pytest.approx(after, rel=0.01)


def test_training_repeats_itself_to_the_bit_for_the_same_seed_and_only_then(digits, weights):
    assert same(train(small_unet(0), digits), weights)
    assert not same(train(small_unet(0), digits, seed=1), weights)
    assert not same(train(small_unet(1), digits), weights)


@pytest.mark.parametrize("stop", [10, 17, 29])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(digits, weights, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "KEEP_EVERY", 10)
    state, steps = tmp_path / "state.safetensors", []

    def killed(step, loss):
        steps.append(step)
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_unet(0), digits, state=state, on_step=killed)
    kept = (stop - 1) // 10 * 10
    assert state.exists() == (kept > 0)
    start = 0 if kept == 0 else 1  # what the state holds takes the place of other initial weights
    resumed = train(small_unet(start), digits, state=state, on_step=lambda step, loss: steps.append(step))
    assert steps == [*range(1, stop + 1), *range(kept + 1, 31)]
    assert same(resumed, weights)


def test_a_run_does_not_go_on_from_what_other_settings_left(digits, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "KEEP_EVERY", 10)
    train(small_unet(0), digits, lr=1e-3, state=tmp_path / "state.safetensors")
    assert same(train(small_unet(0), digits, state=tmp_path / "state.safetensors"), weights)


def test_training_sees_the_train_split_only(digits, weights):
    blind = datasets.Dataset(digits.train, digits.tuning * torch.nan, digits.test * torch.nan, symmetric=False)
    assert same(train(small_unet(0), blind), weights)


def test_a_symmetric_data_set_is_learnt_in_all_its_turns(digits, weights):
    turned = datasets.Dataset(digits.train, digits.tuning, digits.test, symmetric=True)
    assert not same(train(small_unet(0), turned), weights)


def test_a_classifier_learns_the_digits_in_a_few_steps_and_the_same_ones_again(digits):
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(classifiers.train_classifier(digits, "labels", steps=60, batch=32, lr=4e-3, seed=0))
    assert same(nets[0].state_dict(), nets[1].state_dict())
    assert classifiers.accuracy(nets[0], digits, "labels", 0) > 0.5  # chance is a tenth
    features = nets[0].features(digits.train)
    torch.testing.assert_close(features.std(0), torch.ones(32), rtol=0, atol=1e-3)


def test_every_corruption_spoils_its_images_and_none_of_the_others():
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for kind, name in enumerate(classifiers.CORRUPTIONS):
        spoilt = classifiers.corrupt(images, kind, training.step_generator(0, 0))
        moved = (spoilt - images).flatten(1).abs().amax(1)
        assert spoilt.shape == images.shape and ((moved > 0.01).all() if name != "none" else (moved == 0).all()), name


def test_classes_of_corruptions_are_as_many_as_each_other_in_a_batch():
    found = datasets.tissue()
    images, classes = classifiers.batch_of(found, "corruptions", "train", 60, training.step_generator(0, 0))
    assert images.shape == (60, 3, 16, 16) and classes.bincount().tolist() == 6 * [10]
