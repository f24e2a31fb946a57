"""Figures of error against seconds: the points drawn are the records', and the frontier is that of all of them."""

import json

import numpy as np
import pandas as pd
import pytest

from deqbench import papers
from deqbench.records import read_frame, write_frame
from deqbench.report import figures

ROW = {"dataset": "latent", "precision": "fp32", "rate": np.nan, "budget": 10, "n": 24, "mean_db": -10.0}


def point(method: str, iteration: int, seconds: float, level: float) -> dict:
    return {**ROW, "method": method, "iteration": iteration, "seconds": seconds, "nmse_db": level, "frontier": False}


POINTS = [
    point("encoder", 0, 0.01, -15),
    point("gradient-paper", 5, 0.2, -15.5),  # dominated by ours at 1
    point("gradient-fixed", 9, 3.0, -30),
    point("ours", 1, 0.1, -18),
    point("ours", 5, 0.3, -17),  # dominated by its own iterate before
    point("free-released", 5, 0.05, -40),  # of no family in figure 1b: neither drawn nor in the way of a frontier
]


@pytest.fixture
def drawn(tmp_path):
    def draw(rows):
        path, out = tmp_path / "points.parquet", tmp_path / "out"
        write_frame(path, pd.DataFrame(rows, columns=[*point("a", 0, 0, 0)]))
        figures.draw(papers.exhibit("decoder-inversion/figure-1b"), [path], out)
        return out, json.loads((out / "figure.json").read_text(encoding="utf-8"))

    return draw


def test_methods_are_drawn_by_family_and_the_frontier_is_of_what_is_drawn(drawn):
    out, about = drawn(POINTS)
    data = read_frame(out / "data.csv").set_index(["method", "iteration"])
    assert "free-released" not in data.index.get_level_values("method")
    assert data.loc["gradient-paper", "family"].tolist() == ["gradient-based"]
    on = {key for key, found in data["frontier"].items() if found}
    assert on == {("encoder", 0), ("ours", 1), ("gradient-fixed", 9)}
    assert "3 of 5 (latent)" in about["facts"][1]
    assert "n = 24 images" in about["facts"][0]
    words = (out / "seconds.svg").read_text(encoding="utf-8")
    assert about["files"][0]["file"] == "seconds.svg" and words.count("<path") > 5


def test_every_data_set_has_a_panel_and_a_frontier_of_its_own(drawn):
    others = [{**row, "dataset": "one-step", "nmse_db": row["nmse_db"] - 50} for row in POINTS]
    out, about = drawn([*POINTS, *others])
    found = read_frame(out / "data.csv").groupby("dataset")["frontier"].sum()
    assert found.to_dict() == {"latent": 3, "one-step": 3}
    assert about["files"][0]["alt"].endswith("latent, one-step.")


def test_nothing_timed_is_said_and_not_drawn(drawn):
    out, about = drawn([])
    assert about["files"] == [] and "was timed" in about["facts"][0]
    assert not (out / "seconds.svg").exists()
