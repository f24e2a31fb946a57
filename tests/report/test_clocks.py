"""The regression check passes the same run on a slower or busier machine, and still sees what is no clock's doing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from comparisons import DEMO, STUDY, records

from deqbench import papers
from deqbench.records import read_frame, write_frame
from deqbench.report import regression
from deqbench.report.tables import cells

ACCEPTED = Path(__file__).parents[2] / "results/reference/demo"


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """The accepted tables of the demo; `of`: whether a cell is of seconds, or a ratio of them."""
    found = {}
    for name, path in regression.tables(ACCEPTED).items():
        metrics = papers.exhibit(name).spec.metrics
        kinds = {metric.id: "seconds" for metric in metrics if metric.unit == "s"}
        kinds |= {metric.id: "ratio" for metric in metrics if metric.ratio_of in kinds}
        shown = {metric.id for metric in metrics if metric.tolerance == "shown"}
        frame = read_frame(path)
        found[name] = frame.assign(of=frame["metric"].map(kinds), shown=frame["metric"].isin(shown))
    return found


def compared(
    tables: dict[str, pd.DataFrame], folder: Path, change: Callable[[pd.DataFrame], "pd.Series[float]"]
) -> regression.Comparison:
    """The accepted tables against those with other values."""
    for name, frame in tables.items():
        write_frame(folder / f"{name}.csv", frame.assign(value=change(frame)))
    return regression.compare(folder, ACCEPTED)


def test_a_machine_ten_times_slower_and_restless_is_no_difference(tables, tmp_path):
    rng = np.random.default_rng(0)

    def slower(frame: pd.DataFrame) -> "pd.Series[float]":
        jitter = np.exp(rng.normal(0, 0.5, len(frame)))
        return frame["value"] * np.select([frame["of"] == "seconds", frame["of"] == "ratio"], [10 * jitter, jitter], 1)

    comparison = compared(tables, tmp_path, slower)
    assert comparison.differences == ()
    every = pd.concat(tables.values())
    assert comparison.shown == every["shown"].sum() > (every["of"] == "seconds").sum()
    assert comparison.compared + comparison.shown == len(every) > 3 * comparison.shown


def test_every_cell_that_is_compared_is_a_difference_once_it_moves_far(tables, tmp_path):
    comparison = compared(tables, tmp_path, lambda frame: frame["value"] + 1e6 + 200 * frame["value"].abs())
    every = pd.concat(tables.values())
    assert len(comparison.differences) == (every["value"].notna() & ~every["shown"]).sum() > 3000
    assert (every["of"] == "ratio").sum() > (every["shown"] & (every["of"] == "ratio")).sum()


@pytest.mark.parametrize(("slower", "differ"), [({}, 0), ({"secant": 40.0}, 1)], ids=["all alike", "one method"])
def test_all_methods_slower_alike_are_one_run_and_one_method_slower_than_the_others_is_not(tmp_path, slower, differ):
    rng = np.random.default_rng(0)
    timed = records()
    write_frame(tmp_path / "accepted/deq-ddim/comparison.csv", cells(STUDY, timed, DEMO))
    factor = timed["method"].map(slower).fillna(1.0) * 10 * np.exp(rng.normal(0, 0.5, len(timed)))
    timed["value"] *= factor.where(timed["metric"] == "time_s", 1.0)
    write_frame(tmp_path / "found/deq-ddim/comparison.csv", cells(STUDY, timed, DEMO))
    comparison = regression.compare(tmp_path / "found", tmp_path / "accepted")
    assert [difference.cell.split()[-1] for difference in comparison.differences] == ["time_ratio"] * differ
