"""Data sets built, networks fetched and checked, features extracted."""

from typing import Any

import torch

from deqbench import zoo
from deqbench.data import checkpoints, datasets
from deqbench.experiments.files import Files, OnStep
from deqbench.experiments.inputs.job import DatasetJob, FeaturesJob, FetchJob
from deqbench.metrics.features import load_extractor


def dataset(job: DatasetJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """A data set with its fixed splits: train, tuning, test, images as uint8 (N, C, H, W)."""
    built = datasets.build(job.source, **job.options)
    datasets.save(built, files.outputs["images"])
    rows = {split: len(getattr(built, split)) for split in datasets.SPLITS}
    return {"facts": {"kind": built.kind, "rows": rows}}


def checkpoint(job: FetchJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """A checkpoint in diffusers' format, whole, checked against checksums and its data set's shape, and loaded once."""
    facts: dict[str, Any] = {}

    def check(loaded: Any) -> None:
        net = loaded
        if isinstance(loaded, checkpoints.Network):
            net = loaded.net
            for path in files.all("dataset"):
                checkpoints.check_shape(loaded, datasets.load(path).shape, job.network)
        facts["parameters"] = sum(p.numel() for p in net.parameters())

    facts["sha256"] = checkpoints.fetch(job.checkpoint, files.outputs["folder"], check)
    return {"facts": facts}


network = checkpoint  # of no data set


def features(job: FeaturesJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Features of train and test (N, D) float32; a symmetric data set's images in one turn each, drawn at random."""
    extract = load_extractor(job.extractor if job.extractor == "inception" else str(zoo.path(job.extractor)))
    loaded, generator = datasets.load(files.one("dataset")), torch.Generator().manual_seed(0)
    tensors = {}
    for split in ("train", "test"):
        images = getattr(loaded, split)
        if loaded.symmetric:
            images = datasets.dihedral(images, torch.randint(8, (len(images),), generator=generator))
        tensors[split] = extract(images)
    counts = {split: len(tensor) for split, tensor in tensors.items()}
    return {"features": tensors, "facts": {"images": counts, "dimensions": tensors["train"].shape[1]}}
