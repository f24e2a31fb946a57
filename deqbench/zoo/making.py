"""From a recipe to a model's folder: what is trained, on what, how it is measured and what is written beside it."""

from pathlib import Path
from typing import Any

from torch import nn

from deqbench import config
from deqbench.data import autoencoders as stored_autoencoders
from deqbench.data import checkpoints, stored
from deqbench.data.datasets import Dataset
from deqbench.records import write_json, write_tensors
from deqbench.zoo import autoencoders, classifiers, latents, one_step, training
from deqbench.zoo.training import OnStep

LOOP = {"steps", "batch", "lr", "ema_decay", "seed", "bf16"}


def make(recipe: config.AnyRecipe, dataset: Dataset, base: Path | None, out: Path, on_step: OnStep) -> dict[str, float]:
    """Trains by the recipe, writes the weights and configs into `out`, and gives the metrics of the card.

    base: folder of the model that the recipe builds on. UserError: it is not one that loads.
    """
    state = out.parent / f".{out.name}.progress.safetensors"
    if isinstance(recipe, config.ClassifierRecipe):
        return classifier(recipe, dataset, out, on_step)
    if isinstance(recipe, config.DiffusionRecipe):
        metrics = diffusion(recipe, dataset, out, state, on_step)
    elif isinstance(recipe, config.AutoencoderRecipe):
        metrics = autoencoder(recipe, dataset, out, state, on_step)
    elif isinstance(recipe, config.LatentRecipe):
        assert base is not None
        metrics = latent(recipe, dataset, base, out, state, on_step)
    else:
        assert base is not None
        metrics = generator(recipe, base, out, state, on_step)
    state.unlink(missing_ok=True)
    return metrics


def diffusion(
    recipe: config.DiffusionRecipe, dataset: Dataset, out: Path, state: Path, on_step: OnStep
) -> dict[str, float]:
    """A noise-prediction network on images."""
    from diffusers import UNet2DModel

    scheduler = training_scheduler()
    alpha_bar, net = scheduler.alphas_cumprod, UNet2DModel(**recipe.unet)
    options = recipe.model_dump(include=LOOP)
    net.load_state_dict(training.train_diffusion(net, dataset, alpha_bar, state=state, on_step=on_step, **options))
    metrics = {"heldout_eps_mse_fp32": training.heldout_loss(net, dataset, alpha_bar)}
    net = store(net, out)
    metrics["heldout_eps_mse_fp16_storage"] = training.heldout_loss(net, dataset, alpha_bar)
    scheduler.save_config(out)
    index = {
        "_class_name": "DDIMPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(out / "model_index.json", index)
    return metrics | {"parameters": parameters(net)}


def autoencoder(
    recipe: config.AutoencoderRecipe, dataset: Dataset, out: Path, state: Path, on_step: OnStep
) -> dict[str, float]:
    """An encoder and a decoder, whose config scales the codes of tuning images to a standard deviation of 1."""
    net: Any = autoencoders.build(recipe.form, recipe.network)
    options = recipe.model_dump(include=LOOP | {"l1", "kl"})
    net.load_state_dict(autoencoders.train_autoencoder(net, dataset, state=state, on_step=on_step, **options))
    net.eval()
    std = float(autoencoders.codes(net, dataset.tuning).std())
    net.register_to_config(scaling_factor=1 / std)
    metrics = {f"{name}_fp32": value for name, value in autoencoders.quality(net, dataset.test).items()}
    net = store(net, out)
    metrics |= {f"{name}_fp16_storage": value for name, value in autoencoders.quality(net, dataset.test).items()}
    return metrics | {"tuning_code_std": std, "parameters": parameters(net)}


def latent(
    recipe: config.LatentRecipe, dataset: Dataset, base: Path, out: Path, state: Path, on_step: OnStep
) -> dict[str, float]:
    """A conditional noise-prediction network on an autoencoder's codes."""
    from diffusers import UNet2DModel

    codes = latents.latent_dataset(stored_autoencoders.load(base), dataset)
    scheduler = training_scheduler()
    alpha_bar, net = scheduler.alphas_cumprod, UNet2DModel(**recipe.unet)
    options = recipe.model_dump(include=LOOP | {"drop", "noise"})
    net.load_state_dict(latents.train_latent(net, codes, alpha_bar, state=state, on_step=on_step, **options))
    metrics = {
        "train_eps_mse": latents.heldout_loss(net, codes, alpha_bar, "train"),
        "heldout_eps_mse_fp32": latents.heldout_loss(net, codes, alpha_bar),
    }
    net = store(net, out)
    metrics["heldout_eps_mse_fp16_storage"] = latents.heldout_loss(net, codes, alpha_bar)
    scheduler.save_config(out)
    return metrics | {"parameters": parameters(net)}


def generator(recipe: config.OneStepRecipe, base: Path, out: Path, state: Path, on_step: OnStep) -> dict[str, float]:
    """A one-step generator, which starts from its teacher's weights."""
    teacher, net = checkpoints.load(base), checkpoints.load(base).net
    draws, steps = training.step_generator(recipe.seed, recipe.steps), recipe.teacher_steps
    pairs = one_step.teacher_pairs(teacher.net, teacher.scheduler, recipe.pairs, steps=steps, generator=draws)
    options = recipe.model_dump(include=LOOP)
    net.load_state_dict(one_step.train_one_step(net, pairs, state=state, on_step=on_step, **options))
    held = one_step.heldout_pairs(teacher.net, teacher.scheduler, steps)
    metrics = {
        "train_teacher_nmse_db": one_step.teacher_error(net, pairs),
        "heldout_teacher_nmse_db_fp32": one_step.teacher_error(net, held),
    }
    net = store(net, out)
    return metrics | {
        "heldout_teacher_nmse_db_fp16_storage": one_step.teacher_error(net, held),
        "parameters": parameters(net),
    }


def classifier(recipe: config.ClassifierRecipe, dataset: Dataset, out: Path, on_step: OnStep) -> dict[str, float]:
    """A feature extractor."""
    options = recipe.model_dump(include={"steps", "batch", "lr", "seed"})
    net = classifiers.train_classifier(dataset, recipe.task, on_step=on_step, **options)
    write_json(out / "config.json", {"channels": dataset.shape[0], "classes": net.head.out_features})
    write_tensors(out / "model.safetensors", net.state_dict())
    return {"test_accuracy": classifiers.accuracy(net, dataset, recipe.task, recipe.seed)}


def training_scheduler() -> Any:
    """Diffusers' DDIMScheduler of the zoo's chains: 1,000 steps, linear beta, nothing clipped."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(num_train_timesteps=1000, clip_sample=False, timestep_spacing="leading")


def store(net: Any, out: Path) -> Any:
    """Writes a network of diffusers in half precision; what a reader gets of it, in float32."""
    net.half().save_pretrained(out)
    if type(net).__name__ in stored_autoencoders.CLASSES:
        return stored_autoencoders.load(out)
    return stored.network(type(net), out, str(out))


def parameters(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in net.parameters())
