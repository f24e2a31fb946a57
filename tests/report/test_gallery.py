"""A gallery shows the rows of generated images that a file holds, by the labels of the drawing."""

import json

import pandas as pd
import torch

from deqbench import papers
from deqbench.records import write_tensors
from deqbench.report import figures

EXHIBIT = papers.exhibit("deq-score-matching/figure-9")


def drawn(folder, **images):
    path = folder / "0.safetensors"
    write_tensors(path, images, metadata={"dataset": "digits"})
    figures.draw(EXHIBIT, [path], folder)
    return pd.read_csv(folder / "data.csv"), json.loads((folder / "figure.json").read_text())


def test_rows_are_those_that_the_file_holds(tmp_path):
    data, about = drawn(
        tmp_path, ncsn=torch.zeros(3, 1, 8, 8), real=torch.ones(2, 1, 8, 8), other=torch.ones(1, 1, 8, 8)
    )
    assert data["row"].tolist() == ["test images", "SSM-VR NCSN"]
    assert data["images"].tolist() == [2, 3]
    assert "test images, SSM-VR NCSN" in about["files"][0]["alt"]


def test_images_that_are_not_finite_are_left_out_and_told(tmp_path):
    lost = torch.full((2, 1, 8, 8), torch.nan)
    data, about = drawn(tmp_path, ncsn=lost, real=torch.ones(2, 1, 8, 8))
    assert data["row"].tolist() == ["test images"]
    assert any("no image of SSM-VR NCSN is finite" in fact for fact in about["facts"])
