"""Scatter figures: what is drawn is what the records say, and the line's slope is told with its interval."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.figure import Figure

from deqbench import papers
from deqbench.records import read_frame, write_frame
from deqbench.report import figures
from deqbench.report.scatter import _panel


@pytest.fixture
def drawn(tmp_path):
    def draw(rows):
        path = tmp_path / "figure-2.parquet"
        write_frame(path, pd.DataFrame(rows))
        out = tmp_path / "out"
        figures.draw(papers.exhibit("decoder-inversion/figure-2"), [path], out)
        return out, json.loads((out / "figure.json").read_text(encoding="utf-8"))

    return draw


def rows(method, x, y, slope=None):
    about = {
        "paper": "decoder-inversion",
        "experiment": "cocoercivity",
        "dataset": "codes",
        "method": method,
        "unit": "",
    }
    found = [
        {**about, "image": image, "metric": metric, "value": values[image]}
        for metric, values in (("cocoercivity", x), ("convergence", y), ("final_nmse_db", np.arange(len(x)) - 30.0))
        for image in range(len(x))
    ]
    if slope is None:
        return found
    return [*found, {**about, "metric": "slope", "value": slope, "low": slope - 1, "high": slope + 1, "n": len(x)}]


def test_every_instance_is_a_point_and_the_slope_is_told(drawn):
    x, y = np.array([0.5, 1.0, 1.5]), np.array([3.0, 2.0, 1.0])
    out, about = drawn([*rows("forward-printed", x, y, -2.5), *rows("km-printed", x, 2 * y, -4.0)])
    data = read_frame(out / "data.csv")
    mine = data[data["method"] == "km-printed"].sort_values("image")
    assert mine["x"].tolist() == x.tolist() and mine["y"].tolist() == (2 * y).tolist()
    assert mine["colour"].tolist() == [-30, -29, -28]
    assert "slope \N{MINUS SIGN}2.5 [\N{MINUS SIGN}3.5, \N{MINUS SIGN}1.5], n = 3" in about["facts"][0]
    assert (out / "figure.svg").stat().st_size > 5000


def test_points_that_are_not_finite_are_counted_and_the_rest_drawn(drawn):
    x, y = np.array([0.5, np.nan, 1.5]), np.array([3.0, 2.0, np.inf])
    _, about = drawn(rows("forward-printed", x, y))
    assert "no line can be fitted; 2 points are not finite." in about["facts"][0]


def test_a_panel_shows_its_points_and_their_least_squares_line():
    x, y = np.array([0.0, 1.0, 2.0, 5.0]), np.array([3.0, 2.5, 1.0, 0.0])
    ax = Figure().subplots()
    shown = _panel(ax, pd.DataFrame({"x": x, "y": y, "colour": y}), (0.0, 3.0))
    assert np.asarray(shown.get_offsets()).tolist() == np.stack([x, y], 1).tolist()
    fit = scipy.stats.linregress(x, y)
    assert ax.lines[0].get_ydata() == pytest.approx([fit.intercept, fit.intercept + 5 * fit.slope])


def test_the_same_records_give_the_same_file(drawn):
    x, y = np.array([0.5, 1.0, 1.5]), np.array([3.0, 2.0, 1.0])
    first = (drawn(rows("forward-printed", x, y))[0] / "figure.svg").read_bytes()
    assert (drawn(rows("forward-printed", x, y))[0] / "figure.svg").read_bytes() == first
