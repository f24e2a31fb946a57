"""One cell from its records: paired with the baseline, censored counts said out loud."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from deqbench.papers.spec import Metric
from deqbench.report.measured import measured

LEVELS = np.array([3.0, 1.0, 0.2, 0.5])  # of four images


def values(method, metric, found, unit=""):
    return [
        {"method": method, "metric": metric, "image": i, "value": value, "unit": unit} for i, value in enumerate(found)
    ]


def cell(metric, rows, method="ours", baseline="base"):
    group = pd.DataFrame(rows)
    shown = Metric(**{"id": "m", "label": "m", **metric})
    return measured(shown, group[group["method"] == method], group, baseline)


def t_interval(found):
    return scipy.stats.t.interval(0.95, len(found) - 1, np.mean(found), scipy.stats.sem(found))


BOTH = values("base", "m", LEVELS) + values("ours", "m", LEVELS[::-1] * [1, 2, 3, 4])


def test_a_difference_to_the_baseline_is_paired_by_image():
    found, differences = cell({"difference_to": "m"}, BOTH), LEVELS[::-1] * [1, 2, 3, 4] - LEVELS
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (differences.mean(), *t_interval(differences))
    )
    assert (found["n"], found["statistic"]) == (4, "mean")


def test_a_share_counts_the_images_on_which_the_method_is_lower():
    found = cell({"lower_than": "m"}, BOTH)  # 0.5 < 3, 0.4 < 1, 3 > 0.2, 12 > 0.5
    assert (found["value"], found["n"]) == (0.5, 4)
    assert (found["low"], found["high"]) == pytest.approx(scipy.stats.binomtest(2, 4).proportion_ci(method="wilson"))


def test_a_metric_may_be_divided_by_another_of_the_same_image():
    rows = BOTH + values("ours", "first", [2.0, 4.0, 8.0, 16.0])
    found, ratios = (
        cell({"over": "first", "statistic": "geometric mean"}, rows),
        LEVELS[::-1] * [1, 2, 3, 4] / [2, 4, 8, 16],
    )
    assert found["value"] == pytest.approx(scipy.stats.gmean(ratios))
    assert cell({"over": "none of it"}, rows)["n"] == 0


def test_only_records_with_the_values_asked_for_are_read():
    rows = values("ours", "m", [1.0, 3.0], "in all") + values("ours", "m", [5.0], "per update")
    assert cell({"only": {"unit": "in all"}}, rows)["value"] == 2
    assert cell({"only": {"unit": "else"}, "absent": "not so"}, rows)["note"] == "not so"


def test_a_standard_deviation_is_the_sample_s_and_an_exact_count_has_no_width():
    found = cell({"statistic": "standard deviation"}, BOTH, "base")
    assert found["value"] == pytest.approx(np.std(LEVELS, ddof=1)) and np.isnan(found["low"])
    exact = cell({"statistic": "exact"}, values("ours", "m", [7.0]))
    assert (exact["value"], exact["low"], exact["high"]) == (7, 7, 7)


def reached(base, ours, flags_base, flags_ours):
    rows = values("base", "m", base) + values("ours", "m", ours)
    return rows + values("base", "ok", flags_base) + values("ours", "ok", flags_ours)


def test_a_count_that_nobody_reached_is_no_number():
    found = cell({"reached": "ok"}, reached([51, 51], [51, 51], [0, 0], [0, 0]))
    assert np.isnan(found["value"]) and (found["n"], found["note"]) == (
        0,
        "reached by none of 2 images within the budget",
    )


def test_a_ratio_of_counts_leaves_out_images_that_neither_reached():
    rows = reached([40, 51, 51], [20, 30, 51], [1, 0, 0], [1, 1, 0])
    found = cell({"ratio_of": "m", "reached": "ok"}, rows)
    assert (found["value"], found["n"]) == (pytest.approx(np.sqrt(40 / 20 * 51 / 30)), 2)
    none = cell({"ratio_of": "m", "reached": "ok"}, reached([51, 51], [51, 51], [0, 0], [0, 0]))
    assert (none["n"], none["note"]) == (0, "reached by neither for any of 2 images within the budget")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_ratio_of_counts_with_a_budget_too_small_to_tell_is_no_number(swapped):
    sides = ([60, 70], [11, 20], [1, 1], [0, 1])  # 11: not reached in ten updates, where the other needed 60
    base, ours, flags_base, flags_ours = sides
    rows = reached(ours, base, flags_ours, flags_base) if swapped else reached(*sides)
    found = cell({"ratio_of": "m", "reached": "ok"}, rows)
    assert (found["n"], found["note"]) == (0, "budgets differ: unknown for 1 of 2 images")


def test_a_few_pairs_that_tell_nothing_may_be_left_out_and_are_said_to_be():
    metric = {"ratio_of": "m", "reached": "ok", "left_out": "left out"}
    found = cell(metric, reached([60, *[70] * 5], [11, *[20] * 5], [1] * 6, [0, *[1] * 5]))
    assert (found["value"], found["n"]) == (pytest.approx(70 / 20), 5)
    assert found["note"] == "1 of 6 images left out"
    found = cell(metric, reached([60, *[70] * 3], [11, *[20] * 3], [1] * 4, [0, *[1] * 3]))
    assert (found["n"], found["note"]) == (0, "budgets differ: unknown for 1 of 4 images")


def test_images_left_out_are_counted_in_a_note():
    rows = values("base", "m", LEVELS) + values("ours", "m", [1.0, 2.0, 3.0]) + values("ours", "else", LEVELS)
    found = cell({"ratio_of": "m", "left_out": "never reach it"}, rows)
    assert (found["n"], found["note"]) == (3, "1 of 4 images never reach it")
    plain = cell({"left_out": "never reach it"}, [*rows, {**rows[0], "method": "ours", "value": np.nan}])
    assert (plain["n"], plain["note"]) == (3, "1 of 4 images never reach it")


@pytest.mark.parametrize("kind", ["ratio_of", "ratio_to"])
@pytest.mark.parametrize("side", ["base", "ours"])
def test_a_ratio_of_or_to_zero_leaves_the_reason(kind, side):
    rows = [{**row, "value": 0.0} if row["method"] == side and row["image"] == 1 else row for row in BOTH]
    found = cell({kind: "m"}, rows)  # as where the start itself is below a threshold: after 0 updates
    assert (found["n"], found["note"]) == (0, "exactly 0 for 1 of 4 images")


def test_an_infinite_value_is_never_averaged_away():
    rows = values("base", "m", [1.0, 2.0]) + values("ours", "m", [1.0, np.inf])
    for kind in ("ratio_of", "ratio_to", "difference_to", "lower_than"):
        assert cell({kind: "m"}, rows)["note"] == "1 of 2 not finite"


def test_methods_of_other_budgets_are_not_compared_with_the_baseline():
    rows = BOTH + values("base", "epochs", [80] * 4) + values("ours", "epochs", [20, 20, 80, 80])
    for kind in ("ratio_of", "difference_to", "lower_than"):
        found = cell({kind: "m", "same": "epochs"}, rows)
        assert (found["n"], found["note"]) == (0, "epochs differ: 20 against 80")
    assert cell({"ratio_of": "m", "same": "epochs"}, BOTH)["n"] == 4  # methods without updates have no such budget
    assert cell({"ratio_of": "m", "same": "epochs"}, BOTH + values("base", "epochs", [80] * 4))["n"] == 4


def test_what_the_records_note_themselves_stands_below_the_cell():
    rows = [{**row, "note": "picked secant"} for row in values("ours", "m", [1.0, 2.0])]
    assert cell({}, [*rows, *values("ours", "else", [1.0])])["note"] == "picked secant"
    assert cell({"of": "else"}, [*rows, *values("ours", "else", [1.0])])["note"] == ""
