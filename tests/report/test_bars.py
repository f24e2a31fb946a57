"""Bars are means over splits with Student's intervals, and what is not finite is no bar."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from deqbench import papers
from deqbench.records import read_frame, write_records
from deqbench.report import figures

EXHIBIT = papers.exhibit("deq-score-matching/figure-2")


def rows(method, metric, values, dataset="red"):
    about = {"paper": "deq-score-matching", "experiment": "table-2", "dataset": dataset, "method": method}
    return [{**about, "split": k, "metric": metric, "value": v, "unit": ""} for k, v in enumerate(values)]


@pytest.fixture
def drawn(tmp_path):
    def draw(*parts):
        path = tmp_path / "0.csv"
        write_records(path, pd.DataFrame([row for part in parts for row in part]))
        out = tmp_path / "out"
        figures.draw(EXHIBIT, [path], out)
        return read_frame(out / "data.csv"), json.loads((out / "figure.json").read_text(encoding="utf-8"))

    return draw


def test_a_bar_is_the_mean_over_splits_and_its_line_student_s_interval(drawn):
    values = np.array([-20.0, -24.0, -25.5])
    data, about = drawn(rows("sm", "sm_loss", values), rows("deq-sm", "sm_loss", values - 1))
    (mine,) = data[data["method"] == "sm"].to_dict("records")
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mine["mean"], mine["low"], mine["high"]) == pytest.approx((values.mean(), low, high))
    assert mine["n"] == 3 and "n = 3 splits" in about["facts"][0] and len(about["files"]) == 1


def test_methods_that_the_drawing_does_not_name_and_values_that_are_not_finite_are_left_out(drawn):
    data, _ = drawn(rows("normal", "sm_loss", [1.0, 2.0]), rows("sm", "sm_loss", [1.0, np.inf, 3.0]))
    assert data["method"].tolist() == ["sm"] and data["mean"].tolist() == [2.0]


def test_without_any_of_its_values_nothing_is_drawn(drawn):
    data, about = drawn(rows("sm", "picard", [1.0, 2.0]))
    assert data.empty and not about["files"]
