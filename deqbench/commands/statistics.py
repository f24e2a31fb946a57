"""Features of a data set's splits: the reference of its scores, and the real images that measure their floor."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from deqbench import provenance, zoo
from deqbench.data import datasets
from deqbench.metrics.features import load_extractor
from deqbench.records import write_tensors

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps the one command below a subcommand."""


@app.command()
def features(
    dataset: Annotated[Path, typer.Option(help="the data set's file")],
    extractor: Annotated[str, typer.Option(help="a zoo classifier's name, or inception")],
    out: Annotated[Path, typer.Option(help="safetensors file to write: train and test features (N, D) float32")],
    threads: int = 0,
) -> None:
    """Extracts the features of train and test; a symmetric data set's images in one turn each, drawn at random."""
    provenance.set_threads(threads)
    with provenance.recorded(out, "statistics features", {"extractor": extractor}) as facts:
        extract = load_extractor(extractor if extractor == "inception" else str(zoo.path(extractor)))
        loaded = datasets.load(dataset)
        generator = torch.Generator().manual_seed(0)
        tensors = {}
        for split in ("train", "test"):
            images = getattr(loaded, split)
            if loaded.symmetric:
                images = datasets.dihedral(images, torch.randint(8, (len(images),), generator=generator))
            tensors[split] = extract(images)
        write_tensors(out, tensors)
        facts["images"] = {split: len(tensor) for split, tensor in tensors.items()}
        facts["dimensions"] = tensors["train"].shape[1]
