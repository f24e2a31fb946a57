"""Figures of watermarks and edits say what the tensors say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from deqbench import papers
from deqbench.records import write_tensors
from deqbench.report import figures


def drawn(exhibit: str, tensors: dict[str, torch.Tensor], folder: Path) -> tuple[pd.DataFrame, dict[str, object]]:
    """The data and the words of a figure made of one file."""
    source = folder / "latent.safetensors"
    write_tensors(source, tensors, {"dataset": "latent"})
    figures.draw(papers.exhibit(f"decoder-inversion/{exhibit}"), [source], folder / "out")
    assert (folder / "out/latent.svg").read_text().startswith("<?xml")
    return pd.read_csv(folder / "out/data.csv"), json.loads((folder / "out/figure.json").read_text())


def test_confusion_matrices_keep_their_counts_and_name_what_has_no_key(tmp_path: Path) -> None:
    counts = torch.tensor([[5, 1, 0, 2], [0, 8, 0, 0], [3, 0, 5, 0]])
    data, about = drawn("figure-s1", {"encoder/confusion": counts}, tmp_path)
    table = data.pivot_table(index="key", columns="found", values="images")
    assert table.loc[1, "none"] == 2 and table.loc[3, "1"] == 3 and table.to_numpy().sum() == 24
    assert "encoder 18 of 24" in str(about["files"])


def test_rings_tell_right_from_wrong(tmp_path: Path) -> None:
    pattern = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    tensors = {
        "key": pattern,
        "which": torch.tensor([0, 1]),
        "encoder/rings": pattern * 0.5,
        "encoder/distance": torch.tensor([0.25, 0.75]),
        "encoder/predicted": torch.tensor([0, 2]),
    }
    data, _ = drawn("figure-s2", tensors, tmp_path)
    assert data[["key", "distance", "right"]].to_numpy().tolist() == [[1, 0.25, 1], [2, 0.75, 0]]


def test_edits_list_their_background_errors(tmp_path: Path) -> None:
    images, mask = torch.zeros(2, 3, 16, 16), torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 2:6] = True
    tensors = {"original": images, "mask": mask}
    for name, value in (("oracle", -30.0), ("encoder", -12.5)):
        tensors |= {name: images.clone(), f"{name}/background": torch.tensor([value, value - 1])}
    data, about = drawn("figure-s3", tensors, tmp_path)
    assert data["background_nmse_db"].tolist() == [-30.0, -31.0, -12.5, -13.5]
    assert "oracle, true trajectory, encoder" in str(about["files"])


def test_the_frame_lies_around_the_mask() -> None:
    from deqbench.report.watermarks import _frame

    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 1:4] = True
    assert _frame(mask, 64) == (8.0, 16.0, 24.0, 32.0)
