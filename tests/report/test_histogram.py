"""Histograms: shares of the values in bins that all panels of a data set have in common."""

import json

import numpy as np
import pandas as pd
import pytest

from deqbench import papers
from deqbench.records import read_frame, write_frame
from deqbench.report import figures

FIGURE = "deq-score-matching/figure-5"


@pytest.fixture
def drawn(tmp_path):
    def draw(rows):
        path = tmp_path / "rows.parquet"
        write_frame(path, pd.DataFrame(rows))
        out = tmp_path / "out"
        figures.draw(papers.exhibit(FIGURE), [path], out)
        return out, json.loads((out / "figure.json").read_text(encoding="utf-8"))

    return draw


def rows(method, values, part="early", metric="score_error"):
    about = {"paper": "deq-score-matching", "experiment": "phantom-error", "dataset": "wine", "unit": ""}
    return [{**about, "method": method, "part": part, "metric": metric, "value": value} for value in values]


def test_each_outline_holds_all_of_its_own_values(drawn):
    generator = np.random.default_rng(0)
    few, many = generator.uniform(size=30), 3 * generator.uniform(size=500)
    out, about = drawn([*rows("deq-sm-paper", few), *rows("deq-sm-paper", many, "late"), *rows("deq-ssm-paper", many)])
    data = read_frame(out / "data.csv")
    sums = data.groupby(["method", "part"])["share"].sum()
    np.testing.assert_allclose(sums, 1)
    mine = data[(data["method"] == "deq-sm-paper") & (data["part"] == "early")]
    inside = [((few >= left) & (few < right)).mean() for left, right in zip(mine["left"], mine["right"], strict=True)]
    np.testing.assert_allclose(mine["share"], inside)
    assert data.groupby("method")["left"].min().nunique() == 1
    assert any(f"n = {len(many)}" in fact for fact in about["facts"])


def test_other_metrics_are_not_counted_and_values_that_are_not_finite_are_told(drawn):
    values = [*rows("deq-sm-paper", [0.1, 0.2, np.inf]), *rows("deq-sm-paper", [5.0], metric="score_cosine")]
    out, about = drawn(values)
    assert read_frame(out / "data.csv")["right"].max() < 0.21
    assert "1 of the recorded values are not finite and are not drawn." in about["facts"]


def test_the_same_records_give_the_same_file(drawn):
    values = rows("deq-sm-paper", np.linspace(0, 1, 20))
    first = (drawn(values)[0] / "figure.svg").read_bytes()
    assert (drawn(values)[0] / "figure.svg").read_bytes() == first
