"""Train the shipped checkpoints from scratch, and accept a trained one into the package."""

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from deqbench import config, provenance, zoo
from deqbench.data import datasets
from deqbench.measure.progress import steps_bar
from deqbench.records import read_json, write_json
from deqbench.zoo import classifiers, training

app = typer.Typer(no_args_is_help=True)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="name in config/zoo.yaml")],
    recipe: Annotated[str, typer.Option(help="the model's recipe as JSON")],
    out: Annotated[Path, typer.Option(help="folder to write: config.json, weights in safetensors, card.json")],
    threads: int = 0,
) -> None:
    """Trains one model by its recipe; a killed run goes on where it stopped."""
    settings = config.parse_recipe(recipe, model)
    provenance.set_threads(threads)
    dataset = datasets.build(settings.dataset)
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)  # the layers' initial weights are drawn by torch itself
    with steps_bar(model, settings.steps) as on_step:
        if isinstance(settings, config.DiffusionRecipe):
            metrics = _diffusion(settings, dataset, out, on_step)
        else:
            metrics = _classifier(settings, dataset, out, on_step)
    card = {
        "model": model,
        "data": settings.dataset,
        "data_licence": settings.data_licence,
        "licence": "MIT",
        "command": "snakemake --cores all zoo",
        "recipe": settings.model_dump(exclude={"data_licence"}),
        "splits": {split: len(getattr(dataset, split)) for split in datasets.SPLITS},
        "metrics": metrics,
        "training_s": round(time.perf_counter() - started, 1),
        "sha256": {path.name: provenance.sha256(path) for path in sorted(out.glob("*.safetensors"))},
        "packages": provenance.packages(),
    }
    write_json(out / "card.json", card)


def _diffusion(recipe: config.DiffusionRecipe, dataset: datasets.Dataset, out: Path, on_step: Any) -> dict[str, float]:
    from diffusers import DDIMScheduler, UNet2DModel

    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, timestep_spacing="leading")
    net = UNet2DModel(**recipe.unet)
    state = out.parent / f".{out.name}.progress.safetensors"
    options = recipe.model_dump(include={"steps", "batch", "lr", "ema_decay", "seed", "bf16"})
    weights = training.train_diffusion(net, dataset, scheduler.alphas_cumprod, state=state, on_step=on_step, **options)
    net.load_state_dict(weights)
    metrics = {"heldout_eps_mse_fp32": heldout_loss(net, dataset, scheduler.alphas_cumprod)}
    net.half().save_pretrained(out)
    net = UNet2DModel.from_pretrained(out, torch_dtype=torch.float32, low_cpu_mem_usage=False)
    metrics["heldout_eps_mse_fp16_storage"] = heldout_loss(net, dataset, scheduler.alphas_cumprod)
    metrics["parameters"] = sum(p.numel() for p in net.parameters())
    scheduler.save_config(out)
    index = {
        "_class_name": "DDIMPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(out / "model_index.json", index)
    state.unlink(missing_ok=True)
    return metrics


@torch.inference_mode()
def heldout_loss(net: torch.nn.Module, dataset: datasets.Dataset, alpha_bar: torch.Tensor) -> float:
    """Mean squared error of the predicted noise on 2,048 draws of tuning images."""
    net.eval()
    generator = training.step_generator(12345, 0)
    batches = torch.randint(len(dataset.tuning), (8, 256), generator=generator)
    losses = [training.diffusion_loss(net, dataset.tuning[chosen], alpha_bar, generator) for chosen in batches]
    return float(torch.stack(losses).mean())


def _classifier(
    recipe: config.ClassifierRecipe, dataset: datasets.Dataset, out: Path, on_step: Any
) -> dict[str, float]:
    from deqbench.records import write_tensors

    options = recipe.model_dump(include={"steps", "batch", "lr", "seed"})
    net = classifiers.train_classifier(dataset, recipe.task, on_step=on_step, **options)
    write_json(out / "config.json", {"channels": dataset.shape[0], "classes": net.head.out_features})
    write_tensors(out / "model.safetensors", net.state_dict())
    return {"test_accuracy": classifiers.accuracy(net, dataset, recipe.task, recipe.seed)}


@app.command()
def accept(source: Annotated[Path, typer.Argument(help="a folder under results/zoo/")]) -> None:
    """Copies a trained model into the package and prints how its metrics moved."""
    card = read_json(source / "card.json")
    target = zoo.FOLDER / card["model"]
    before = read_json(target / "card.json")["metrics"] if (target / "card.json").exists() else {}
    for name, value in card["metrics"].items():
        print(f"{card['model']} {name}: {before.get(name, 'new')} -> {value}")
    shutil.copytree(source, target, dirs_exist_ok=True)
