"""Cells hold what numpy and scipy make of the same records."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from tabled import EXHIBIT, QUALITY, ROUNDS, SPEC, TIMES, cell, config, interval, records, rows

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.papers.spec import Spec
from deqbench.report import tables


def test_a_mean_stands_with_students_interval():
    half = scipy.stats.t.ppf(0.975, 11) * QUALITY.std(ddof=1) / np.sqrt(12)
    found = cell("ddim", "quality")
    assert interval(found) == pytest.approx([QUALITY.mean(), QUALITY.mean() - half, QUALITY.mean() + half])
    assert (found["n"], found["statistic"], found["unit"]) == (12, "mean", "points")
    assert found["method_label"] == "DDIM, step by step"


def test_a_median_stands_with_the_order_statistics_around_it():
    # Of 12 values, ranks 3 and 10 hold the median with 1 - 2 P(Binomial(12, 1/2) <= 2) = 96.1 %; ranks 4 and 9 do not.
    assert 1 - 2 * scipy.stats.binom.cdf(2, 12, 0.5) >= 0.95 > 1 - 2 * scipy.stats.binom.cdf(3, 12, 0.5)
    ranked = np.sort(ROUNDS)
    assert interval(cell("ddim", "rounds")) == [np.median(ROUNDS), ranked[2], ranked[9]]


def test_a_share_stands_with_wilsons_interval():
    n, share, z = 12, 0.75, scipy.stats.norm.ppf(0.975)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert interval(cell("deq-ddim-paper", "good")) == pytest.approx([share, middle - half, middle + half])


def geometric(values):
    logs = np.log(values)
    half = scipy.stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])


def test_a_time_is_a_median_with_the_interval_of_the_log_times():
    times = TIMES["ddim"]
    assert interval(cell("ddim", "time_s")) == pytest.approx([np.median(times), *geometric(times)[1:]])


def test_a_ratio_is_paired_by_image_and_averaged_geometrically():
    found = records().drop(index=records().query("metric == 'time_s' and image == 4 and method == 'ddim'").index)
    kept = np.arange(12) != 4
    ratios = TIMES["ddim"][kept] / TIMES["deq-ddim-paper"][kept]
    ratio = cell("deq-ddim-paper", "ratio", tables.cells(EXHIBIT, found.sample(frac=1, random_state=1), config()))
    assert interval(ratio) == pytest.approx(geometric(ratios))
    assert ratio["n"] == 11


def test_a_ratio_without_pairs_says_why():
    assert cell("ddim", "ratio")["note"] == "the baseline itself"
    none = records().query("metric != 'time_s'")
    assert cell("ddim", "ratio", tables.cells(EXHIBIT, none, config()))["note"] == "not timed"
    one = records().query("metric != 'time_s' or image == 0")
    assert cell("deq-ddim-paper", "ratio", tables.cells(EXHIBIT, one, config()))["note"] == "one image only"


def test_a_missing_cell_is_nan_with_the_reason_that_the_spec_gives():
    found = cell("deq-ddim-paper", "rounds")
    assert np.isnan(found["value"])
    assert (found["n"], found["note"]) == (0, "not counted here")
    assert cell("ddim", "good")["note"] == "not measured for this method and T"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("with_interval", [True, False])
def test_values_that_are_not_finite_make_a_cell_with_a_reason(bad, with_interval):
    found = records()
    if with_interval:  # a record that brings its own interval, as scores do
        scored = found.query("metric != 'quality'").assign(low=np.nan, high=np.nan, n=np.nan)
        row = pd.DataFrame(rows("ddim", "quality", [bad])).assign(low=0.0, high=1.0, n=40)
        found = pd.concat([scored, row.drop(columns="image")])
    else:
        found.loc[(found["metric"] == "quality") & (found["image"] == 5), "value"] = bad
    quality = cell("ddim", "quality", tables.cells(EXHIBIT, found, config()))
    assert np.isnan(interval(quality)).all()
    assert quality["note"] == ("1 of 1 not finite" if with_interval else "1 of 12 not finite")


def test_a_time_that_is_not_finite_leaves_a_ratio_with_a_reason():
    found = records()
    found.loc[(found["metric"] == "time_s") & (found["image"] == 2) & (found["method"] == "ddim"), "value"] = np.inf
    ratio = cell("deq-ddim-paper", "ratio", tables.cells(EXHIBIT, found, config()))
    assert np.isnan(ratio["value"])
    assert ratio["note"] == "1 of 12 not finite"


def test_a_record_with_its_own_interval_is_kept_as_it_is():
    row = pd.DataFrame(rows("ddim", "quality", [3.5])).drop(columns="image").assign(low=3.0, high=4.5, n=40)
    found = cell("ddim", "quality", tables.cells(EXHIBIT, row, config()))
    assert (*interval(found), found["n"]) == (3.5, 3.0, 4.5, 40)


def test_a_record_s_own_note_stands_with_its_cell():
    row = pd.DataFrame(rows("ddim", "quality", [3.5])).drop(columns="image").assign(low=3.0, high=4.5, n=40)
    for written, read in (("2 of 40 images diverged", "2 of 40 images diverged"), (np.nan, "")):
        assert cell("ddim", "quality", tables.cells(EXHIBIT, row.assign(note=written), config()))["note"] == read


def test_ratios_are_of_the_config_s_baseline():
    values = config().model_dump(by_alias=True)
    paper = values["papers"]["deq-ddim"]
    paper["methods"]["deq-ddim-paper"] = paper["methods"]["deq-sddim-paper"]
    paper["table-1"]["methods"].append("deq-ddim-paper")
    paper |= {"baseline": "deq-ddim-paper", "comparison": None, "table-2": None, "table-4": None}  # must hold it too
    found = tables.cells(EXHIBIT, records(), scale.validate(values, "test"))
    assert interval(cell("ddim", "ratio", found)) == pytest.approx(geometric(TIMES["deq-ddim-paper"] / TIMES["ddim"]))
    assert cell("ddim", "ratio", found)["printed"] == f"{2.91 / 20.16:.2f}"
    assert cell("deq-ddim-paper", "ratio", found)["note"] == "the baseline itself"


def test_the_order_of_records_changes_nothing():
    every = pd.concat([records(name, T) for name in ("tissue", "digits", "plain") for T in (50, 10)], ignore_index=True)
    found = tables.cells(EXHIBIT, every, config())
    for seed in range(3):
        pd.testing.assert_frame_equal(
            tables.cells(EXHIBIT, every.sample(frac=1, random_state=seed), config()), found, check_exact=True
        )
    groups = found[["dataset", "T"]].drop_duplicates().to_numpy().tolist()
    assert groups == [[name, T] for name in ("plain", "tissue", "digits") for T in (10, 50)]  # as in the config
    assert list(found["method"].unique()) == ["ddim", "deq-ddim-paper"]


def test_a_method_unknown_to_the_config_comes_last():
    found = pd.concat([pd.DataFrame(rows("a-control", "quality", QUALITY)), records()])
    assert list(tables.cells(EXHIBIT, found, config())["method"].unique()) == ["ddim", "deq-ddim-paper", "a-control"]


def test_an_exhibit_without_metrics_or_records_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="deq-ddim/table-3: expected a spec with metrics"):
        tables.cells(replace(papers.exhibit("deq-ddim/table-3"), spec=Spec()), records(), config())
    with pytest.raises(UserError, match="expected records of table-1; found none"):
        tables.cells(EXHIBIT, records().iloc[:0], config())


def test_a_ratio_to_the_baseline_is_the_other_way_round_and_zeros_leave_a_reason():
    metric = {"id": "slower", "label": "slower", "ratio_to": "time_s"}
    exhibit = replace(EXHIBIT, spec=Spec.model_validate({**SPEC, "metrics": [metric]}))
    found = records()
    slower = tables.cells(exhibit, found, config()).set_index("method").loc["deq-ddim-paper"]
    assert interval(slower) == pytest.approx(geometric(TIMES["deq-ddim-paper"] / TIMES["ddim"]))
    found.loc[(found["method"] == "deq-ddim-paper") & (found["image"] < 2), "value"] = 0.0
    none = tables.cells(exhibit, found, config()).set_index("method").loc["deq-ddim-paper"]
    assert np.isnan(none["value"]) and none["note"] == "exactly 0 for 2 of 12 images"


def test_a_geometric_mean_stands_with_the_interval_of_the_logarithms():
    metric = {"id": "time_s", "label": "time", "statistic": "geometric mean"}
    exhibit = replace(EXHIBIT, spec=Spec.model_validate({**SPEC, "metrics": [metric]}))
    found = tables.cells(exhibit, records(), config()).set_index("method").loc["ddim"]
    assert interval(found) == pytest.approx(geometric(TIMES["ddim"]))


def test_values_are_paired_and_counted_over_the_unit_that_the_spec_declares():
    by_split = replace(EXHIBIT, spec=Spec.model_validate({**SPEC, "pairs": "split"}))
    of_splits = tables.cells(by_split, records().rename(columns={"image": "split"}), config())
    pd.testing.assert_frame_equal(of_splits, tables.cells(EXHIBIT, records(), config()), check_exact=True)
    assert cell("deq-ddim-paper", "ratio", of_splits)["n"] == 12
    assert cell("deq-ddim-paper", "ratio", tables.cells(by_split, records(), config()))["note"] == "not timed"
    one = records().rename(columns={"image": "split"}).query("metric != 'time_s' or split == 0")
    assert cell("deq-ddim-paper", "ratio", tables.cells(by_split, one, config()))["note"] == "one split only"


@pytest.mark.parametrize(
    ("unit", "words"), [("seed", "2 of 12 seeds were lost"), ("row", "2 of 12 data rows were lost")]
)
def test_a_quotient_is_of_the_same_unit_and_a_note_counts_it(unit, words):
    metrics = [{"id": "m", "label": "m", "of": "quality", "over": "rounds", "left_out": "were lost"}]
    exhibit = replace(EXHIBIT, spec=Spec.model_validate({**SPEC, "pairs": unit, "metrics": metrics}))
    kept = records().query("metric != 'rounds' or image > 1").rename(columns={"image": unit})
    found = tables.cells(exhibit, kept.sample(frac=1, random_state=1), config()).set_index("method").loc["ddim"]
    assert found["value"] == pytest.approx(np.mean(QUALITY[2:] / ROUNDS[2:]))
    assert (found["n"], found["note"]) == (10, words)
