"""Losses over the updates, at equal updates and over chain lengths, against straight lines in the logarithm."""

import inversions
import numpy as np
import pandas as pd
import pytest
from inversions import EPOCHS, loss

from deqbench.report import losses


def test_losses_by_rate_are_those_of_a_straight_line_in_the_logarithm():
    found = (
        losses.by_rate(inversions.traces(20, images=2), "implicit")
        .set_index(["method", "lr", "image", "metric"])
        .sort_index()
    )
    line = found["value"]["deq-inversion-paper", 0.01, 1]
    ends = [loss("deq-inversion-paper", 1, epoch, 20, 0.01) for epoch in (0, EPOCHS)]
    assert [line["first_loss"], line["final_loss"]] == pytest.approx(ends)
    assert line["over_updates"] == pytest.approx(np.sqrt(ends[0] * ends[1]))  # however the updates are spaced
    assert found["value"]["deq-inversion-paper", 0.05, 1, "above_smallest_rate"] == 0
    assert "above_smallest_rate" not in line


@pytest.mark.parametrize("last", [1e3, np.inf, np.nan])
def test_a_rate_that_ends_above_the_smallest_one_is_counted(last):
    rows = inversions.traces(images=1).query("method == 'algorithm-1'")
    rows.loc[(rows["lr"] == 0.05) & (rows["epoch"] == EPOCHS), "value"] = last
    found = losses.by_rate(rows, "algorithm-1").set_index(["lr", "metric"])["value"]
    assert found[0.05, "above_smallest_rate"] == 1
    assert (np.isfinite(last)) == ((0.05, "over_updates") in found.index)


def test_methods_of_unequal_budgets_are_compared_after_equal_updates():
    rows = inversions.traces(images=1)
    rows = rows[(rows["method"] != "deq-inversion-paper") | (rows["epoch"] <= 30)]
    found = losses.equal_updates(rows, "algorithm-1").set_index(["method", "metric"])["value"]
    assert found["deq-inversion-paper", "equal_updates"] == 30
    for metric, method in (("loss_by_then", "deq-inversion-paper"), ("baseline_by_then", "algorithm-1")):
        assert found["deq-inversion-paper", metric] == pytest.approx(loss(method, 0, 30))
    assert found["deq-1-step", "equal_updates"] == EPOCHS
    assert set(found.index.get_level_values("method")) == {"deq-inversion-paper", "deq-1-step"}


def test_the_spread_over_lengths_is_over_updates_that_all_have():
    rows = pd.concat([inversions.traces(10, images=1), inversions.traces(20, images=1).query("epoch <= 20")])
    found = losses.over_lengths(rows, "algorithm-1").set_index(["method", "metric"])["value"]
    for metric, method in (("spread_over_lengths", "deq-1-step"), ("baseline_spread", "algorithm-1")):
        by_hand = [np.log(loss(method, 0, n, 20) / loss(method, 0, n, 10)) for n in range(1, 21)]
        assert found["deq-1-step", metric] == pytest.approx(np.exp(np.mean(by_hand)))
    assert "algorithm-1" not in found.index.get_level_values("method")
    assert losses.over_lengths(inversions.traces(), "algorithm-1").empty
