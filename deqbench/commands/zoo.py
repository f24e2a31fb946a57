"""Train the shipped checkpoints from scratch, and accept a trained one into the package."""

import shutil
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from deqbench import zoo
from deqbench.config.reading import parse_recipe
from deqbench.config.recipes import AnyRecipe
from deqbench.data import datasets
from deqbench.measure.progress import steps_bar
from deqbench.records import read_json, write_json
from deqbench.training import stage
from deqbench.training.zoo import making

app = typer.Typer(no_args_is_help=True)

PREDICTIONS = {"latent": "epsilon", "one-step": "one-step"}


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="name in config/zoo.yaml")],
    recipe: Annotated[str, typer.Option(help="the model's recipe as JSON")],
    out: Annotated[Path, typer.Option(help="folder to write: config, weights in safetensors, card, history")],
    base: Annotated[
        Path | None, typer.Option(help="folder of the model that this one builds on [beside --out, else the shipped]")
    ] = None,
) -> None:
    """Trains one model by its recipe; a killed run goes on where it stopped."""
    settings = parse_recipe(recipe, model)
    dataset = datasets.build(settings.dataset, **getattr(settings, "options", {}))
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)  # the layers' initial weights are drawn by torch itself
    base = _base(settings, base, out)
    with steps_bar(model, settings.steps) as on_step:
        metrics = making.make(settings, dataset, base, out, on_step)
    counts = {split: len(getattr(dataset, split)) for split in datasets.SPLITS}
    card = {
        "model": model,
        "data": settings.dataset,
        "data_licence": settings.data_licence,
        "licence": "MIT",
        "command": "snakemake --cores all zoo",
        "recipe": settings.model_dump(exclude={"data_licence"}),
        **stage.facts(started, counts, metrics, out.glob("*.safetensors")),
    }
    if base is not None:
        card["base_sha256"] = read_json(base / "card.json")["sha256"]
    if settings.kind in PREDICTIONS:
        card["prediction"] = PREDICTIONS[settings.kind]
    write_json(out / "card.json", card)


def _base(recipe: AnyRecipe, folder: Path | None, out: Path) -> Path | None:
    """The folder of the model that the recipe builds on, if it builds on any."""
    name = getattr(recipe, "builds_on", None)
    if folder or not name:
        return folder
    return out.parent / name if (out.parent / name / "card.json").exists() else zoo.path(name)


@app.command()
def accept(source: Annotated[Path, typer.Argument(help="a folder under results/zoo/")]) -> None:
    """Copies a trained model into the package and prints how its metrics moved."""
    card = read_json(source / "card.json")
    target = zoo.FOLDER / card["model"]
    before = read_json(target / "card.json")["metrics"] if (target / "card.json").exists() else {}
    for name, value in card["metrics"].items():
        print(f"{card['model']} {name}: {before.get(name, 'new')} -> {value}")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.parquet"), dirs_exist_ok=True)
