"""Figures of inversions: curves, and pictures with the loss of their own pixels."""

import json
from dataclasses import replace
from pathlib import Path

import inversions
import numpy as np
import pandas as pd
import pytest
from inversions import EXHIBITS, loss

from deqbench.records import write_frame
from deqbench.report import figures


def about(folder: Path) -> dict:
    return json.loads((folder / "figure.json").read_text())


FIGURES = [3, 4, 5, 6, 7, 8, 14, 16, 19, 20, 21, 22, 23, 24]  # and 15, 25 have no data of their own in the made-up run


def test_every_figure_of_the_inversion_half_is_drawn(inversion_figures):
    found = {path.name for path in inversion_figures.iterdir() if about(inversion_figures / path.name)["files"]}
    assert found == {f"figure-{at}" for at in (*FIGURES, 25)} | {"inversion", "ablations"}
    for name in found:
        for file in about(inversion_figures / name)["files"]:
            text = (inversion_figures / name / file["file"]).read_text()
            assert text.startswith("<?xml") and "dc:date" not in text and file["alt"]
        assert len(pd.read_csv(inversion_figures / name / "data.csv"))


def test_a_figure_with_one_chart_a_panel_names_lines_by_their_labels(inversion_figures):
    found = about(inversion_figures / "figure-3")
    alt = found["files"][0]["alt"]
    assert "one line per method (Algorithm 1, backprop, DEQ-DDIM, paper, 1-step gradient, chain walked)" in alt
    assert alt.endswith(": digits, T = 10; digits, T = 20.")
    assert any("Algorithm 1, backprop 0.05 at T = 10, 20" in fact for fact in found["facts"])
    assert any("digits stand in for CIFAR10" in fact for fact in found["facts"])
    data = pd.read_csv(inversion_figures / "figure-3/data.csv").set_index(["method", "problem", "epoch"])
    row = data.loc[("algorithm-1", "digits, T = 20", 40)]
    images = [loss("algorithm-1", image, 40, 20) for image in range(8)]
    assert row[["median", "low", "high", "n"]].tolist() == pytest.approx(
        [np.median(images), min(images), max(images), 8]
    )


def test_figure_8_draws_a_line_a_rate_and_figure_16_one_an_eta(inversion_figures):
    assert set(pd.read_csv(inversion_figures / "figure-8/data.csv")["lr"]) == {0.01, 0.05}
    assert (
        "one line per lr (0.01, 0.05): digits, T = 20 with 1-step gradient"
        in about(inversion_figures / "figure-8")["files"][0]["alt"]
    )
    assert set(pd.read_csv(inversion_figures / "figure-16/data.csv")["eta"]) == {0, 0.5, 1}


def test_lengths_stand_in_the_order_of_their_numbers(tmp_path):
    for T in (100, 20, 10, 50, 30):
        write_frame(tmp_path / f"deq-ddim/table-3/digits/{T}.parquet", inversions.traces(T, images=2))
    figures.draw(EXHIBITS["figure-3"], sorted(tmp_path.rglob("*.parquet")), tmp_path / "out")
    data = json.loads((tmp_path / "out/figure.json").read_text())
    assert data["files"][0]["width"] <= 1000  # three charts side by side, not five


def test_pictures_carry_the_loss_that_their_own_pixels_have(inversion_figures, tmp_path):
    tensors = inversions.write_pictures(tmp_path / "digits/10.safetensors", longer=True)
    data = pd.read_csv(inversion_figures / "figure-4/data.csv")
    for method, label in (("algorithm-1", "DDIM, Algorithm 1"), ("sweeps", "sweeps, ours")):
        mine = data[(data["dataset"] == "digits") & (data["T"] == 10) & (data["row"] == label)]["loss"]
        expected = (tensors[f"{method}@0/best"] - tensors["target"]).double().square().sum(dim=(1, 2, 3))
        assert mine.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert (inversion_figures / "figure-4/digits-10.svg").read_text().count("<image ") == 4 * 3
    longer = pd.read_csv(inversion_figures / "figure-7/data.csv")
    assert set(longer["T"]) == {10} and "DDIM, T = 100" in set(longer["row"])  # T = 20 was not sampled again


def test_a_short_budget_leaves_gaps_and_keeps_its_last_image(inversion_figures):
    data = pd.read_csv(inversion_figures / "figure-23/data.csv").query("T == 10")
    columns = data.groupby("row")["column"].apply(list).to_dict()
    assert columns["DDIM, Algorithm 1"] == ["update 0", "update 1", "update 5", "last"]
    assert columns["DEQ-DDIM, paper"] == ["update 0", "update 1", "last"]
    assert (inversion_figures / "figure-23/digits-10.svg").read_text().count("<image ") == 5 + 4


def test_without_such_images_a_figure_says_so_and_two_drawings_are_the_same(tmp_path):
    path = tmp_path / "deq-ddim/table-3/digits/10.safetensors"
    inversions.write_pictures(path)
    figures.draw(EXHIBITS["figure-7"], [path], tmp_path / "none")
    assert json.loads((tmp_path / "none/figure.json").read_text())["files"] == []
    assert "kept these images" in json.loads((tmp_path / "none/figure.json").read_text())["facts"][0]
    for out in ("one", "two"):
        figures.draw(EXHIBITS["figure-23"], [path], tmp_path / out)
    assert (tmp_path / "one/digits-10.svg").read_bytes() == (tmp_path / "two/digits-10.svg").read_bytes()


def test_a_filter_that_no_record_passes_draws_nothing_and_says_so(tmp_path):
    path = tmp_path / "10.parquet"
    write_frame(path, inversions.traces())
    declared = EXHIBITS["figure-3"].spec
    drawing = declared.drawing.model_copy(update={"where": {"method": ["nobody"]}})
    spec = declared.model_copy(update={"drawing": drawing})
    figures.draw(replace(EXHIBITS["figure-3"], spec=spec), [path], tmp_path / "out")
    assert json.loads((tmp_path / "out/figure.json").read_text())["files"] == []
