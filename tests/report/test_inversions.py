"""Cells, figures and verdicts of inversions: paired with the baseline, censored counts said out loud."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import inversions
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import synthetic
from inversions import EPOCHS, loss
from test_site import Page

from deqbench import config, papers
from deqbench.papers.spec import Metric
from deqbench.records import read_records, write_frame, write_json
from deqbench.report import claims, figures, losses, race, site, sources, tables
from deqbench.report.measured import measured
from deqbench.report.printed import seconds_per_epoch

DEMO = config.load(Path(__file__).parents[2] / "config/demo.yaml")
EXHIBITS = {found.id: found for found in (*papers.exhibits("deq-ddim"), *papers.studies("deq-ddim"))}
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


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The cells of every exhibit of a made-up run, and its records."""
    found = inversions.write_run(tmp_path_factory.mktemp("run") / "results/tiny")
    made = {name: sources.of_table(exhibit, found) for name, exhibit in EXHIBITS.items()}
    return {name: tables.cells(EXHIBITS[name], read_records(paths), DEMO) for name, paths in made.items() if paths}


def at(frame, method, metric, **keys):
    for key, value in {"method": method, "metric": metric, **keys}.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_every_exhibit_of_the_inversion_half_has_its_cells(cells):
    assert set(cells) == {"table-3", "figure-3", "figure-6", "figure-8", "figure-17", "inversion", "ablations"}


def test_table_3_stands_beside_the_row_of_the_same_data_set_and_length(cells):
    shown = {T: at(cells["table-3"], "deq-inversion-paper", "min_loss", T=T) for T in (10, 20)}
    assert [found["printed"] for found in shown.values()] == ["0.68 ± 0.32", "1.03 ± 0.37"]
    assert [found["printed_row"] for found in shown.values()] == ["CIFAR10 T=10", "CelebA T=20"]
    assert [found["stands_in_for"] for found in shown.values()] == ["CIFAR10", "CelebA"]
    assert at(cells["table-3"], "algorithm-1", "min_loss", T=20)["printed"] == "14.13 ± 5.04"
    assert at(cells["table-3"], "sweeps", "min_loss", T=20)["printed"] == ""
    assert at(cells["table-3"], "deq-inversion-paper", "min_loss_ratio", T=10)["printed"] == f"{2.59 / 0.68:.2f}"


def test_a_length_that_is_not_printed_and_other_data_have_no_printed_row(cells):
    exhibit = EXHIBITS["table-3"]
    for found in (inversions.records(30), inversions.records(10, dataset="mixture-64")):
        assert set(tables.cells(exhibit, found, DEMO)["printed"]) == {""}
    bedroom = tables.cells(exhibit, inversions.records(10, dataset="tissue"), DEMO)
    assert at(bedroom, "algorithm-1", "min_loss")["printed_row"] == "Bedroom T=10"


def test_data_that_are_the_paper_s_own_never_stand_beside_another_data_set():
    values = DEMO.model_dump(by_alias=True)
    values["datasets"]["digits"] |= {"printed_as": "CIFAR10", "stands_in_for": None}
    own = tables.cells(
        EXHIBITS["table-3"], pd.concat(map(inversions.records, (10, 20))), config.validate(values, "test")
    )
    assert at(own, "algorithm-1", "min_loss", T=10)["relation"] == "same"
    assert at(own, "algorithm-1", "min_loss", T=20)["printed"] == ""


def test_printed_seconds_per_epoch_follow_from_minutes_and_epochs(cells):
    found = seconds_per_epoch(EXHIBITS["table-3"]).set_index(["row", "method"])
    by_hand = {"CIFAR10 T=100": (49.07 / 1000, 12.99 / 400), "CIFAR10 T=10": (14.36 / 3000, 2.54 / 400)}
    by_hand |= {"CelebA T=20": (30.09 / 2500, 28.09 / 400), "Bedroom T=10": (26.41 / 2000, 33.7 / 500)}
    by_hand |= {"Church T=10": (29.7 / 2000, 33.54 / 500)}
    assert len(found) == 10
    slower = 0
    for row, minutes in by_hand.items():
        shown = [float(found.loc[(row, method), "value"]) for method in ("Baseline", "DEQ-DDIM")]
        assert shown == pytest.approx([60 * value for value in minutes], rel=5e-3)
        slower += shown[1] > shown[0]
    assert slower == 4
    cell = at(cells["table-3"], "algorithm-1", "epoch_s", T=10)
    assert (cell["printed"], cell["printed_row"]) == ("0.287", "CIFAR10 T=10, derived: 14.36 min / 3000 epochs")
    assert at(cells["table-3"], "deq-inversion-paper", "epoch_ratio", T=10)["printed"] == f"{0.287 / 0.381:.2f}"


def test_figure_17_prints_its_stochastic_rows_for_the_same_method(cells):
    found = [at(cells["figure-17"], "deq-inversion-paper", "min_loss", eta=eta)["printed"] for eta in (0, 0.5, 1)]
    assert found == ["0.76 ± 0.35", "0.49 ± 0.001", "6.64 ± 3.45"]
    assert at(cells["figure-17"], "deq-inversion-paper", "epochs", eta=1)["printed"] == "1000"
    assert any("0.49" in note and "threshold" in note for note in EXHIBITS["figure-17"].notes)


def test_counts_by_update_and_in_all_are_columns_of_their_own(cells):
    table = cells["table-3"]
    assert at(table, "algorithm-1", "nfe_update", T=10)["value"] == at(table, "sweeps", "nfe", T=10)["value"] == 20
    assert np.isnan(at(table, "algorithm-1", "nfe", T=10)["value"])


def test_the_encoding_s_own_race_has_a_baseline_of_its_own():
    rows = inversions.race().query("method in ('algorithm-1', 'sweeps') and metric == 'time_to_s'")
    names = {"algorithm-1": "algorithm-1-encoded", "sweeps": "sweeps-encoded"}
    encoded = rows.assign(metric="time_to_encoded_s", method=rows["method"].map(names))
    found = tables.cells(EXHIBITS["inversion"], pd.concat([rows, encoded]), DEMO)
    assert at(found, "sweeps-encoded", "time_to_encoded_ratio")["value"] == pytest.approx(12 / 0.5)
    assert at(found, "sweeps", "time_to_encoded_ratio")["n"] == 0


def test_losses_by_rate_are_those_of_a_straight_line_in_the_logarithm(cells):
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


def test_the_spread_over_lengths_is_over_updates_that_all_have(cells):
    rows = pd.concat([inversions.traces(10, images=1), inversions.traces(20, images=1).query("epoch <= 20")])
    found = losses.over_lengths(rows, "algorithm-1").set_index(["method", "metric"])["value"]
    for metric, method in (("spread_over_lengths", "deq-1-step"), ("baseline_spread", "algorithm-1")):
        by_hand = [np.log(loss(method, 0, n, 20) / loss(method, 0, n, 10)) for n in range(1, 21)]
        assert found["deq-1-step", metric] == pytest.approx(np.exp(np.mean(by_hand)))
    assert "algorithm-1" not in found.index.get_level_values("method")
    assert losses.over_lengths(inversions.traces(), "algorithm-1").empty
    assert tables.cells(EXHIBITS["figure-6"], inversions.traces(), DEMO).empty
    assert at(cells["figure-6"], "deq-inversion-paper", "spread_ratio")["value"] > 1


def test_the_loss_within_some_seconds_is_the_smallest_so_far():
    rng = np.random.default_rng(5)
    rows = pd.DataFrame(
        {"dataset": "digits", "T": 10, "method": "m", "image": image, "seconds": second, "value": rng.lognormal()}
        for image in range(5)
        for second in [0.0, *np.sort(rng.uniform(0.1, 3 + image, 7))]
    )
    found = race.within(rows.sample(frac=1, random_state=0))
    assert len(found) == race.POINTS and set(found["n"]) == {5}
    for point in found.itertuples():
        lows = [
            part.loc[part["seconds"] <= point.seconds * (1 + 1e-9), "value"].min() for _, part in rows.groupby("image")
        ]
        assert (point.median, point.low, point.high) == pytest.approx((np.median(lows), min(lows), max(lows)))


def test_noise_in_the_chain_is_left_out_of_the_race():
    rows = pd.concat([inversions.race_traces().assign(eta=0.0), inversions.race_traces().assign(eta=1.0, value=1e-9)])
    pd.testing.assert_frame_equal(race.within(rows), race.within(inversions.race_traces()))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What was drawn of a made-up run: the folder of each exhibit."""
    folder = tmp_path_factory.mktemp("drawn")
    found = inversions.write_run(folder / "results/tiny")
    for name, exhibit in EXHIBITS.items():
        if mine := sources.of_figure(exhibit, found):
            figures.draw(exhibit, mine, folder / "out" / name)
    return folder / "out"


def about(drawn, name):
    return json.loads((drawn / name / "figure.json").read_text())


FIGURES = [3, 4, 5, 6, 7, 8, 14, 16, 19, 20, 21, 22, 23, 24]  # and 15, 25 have no data of their own in the made-up run


def test_every_figure_of_the_inversion_half_is_drawn(drawn):
    found = {path.name for path in drawn.iterdir() if about(drawn, path.name)["files"]}
    assert found == {f"figure-{at}" for at in (*FIGURES, 25)} | {"inversion", "ablations"}
    for name in found:
        for file in about(drawn, name)["files"]:
            text = (drawn / name / file["file"]).read_text()
            assert text.startswith("<?xml") and "dc:date" not in text and file["alt"]
        assert len(pd.read_csv(drawn / name / "data.csv"))


def test_a_figure_with_one_chart_a_panel_names_lines_by_their_labels(drawn):
    found = about(drawn, "figure-3")
    alt = found["files"][0]["alt"]
    assert "one line per method (Algorithm 1, backprop, DEQ-DDIM, paper, 1-step gradient, chain walked)" in alt
    assert alt.endswith(": digits, T = 10; digits, T = 20.")
    assert any("Algorithm 1, backprop 0.05 at T = 10, 20" in fact for fact in found["facts"])
    assert any("digits stand in for CIFAR10" in fact for fact in found["facts"])
    data = pd.read_csv(drawn / "figure-3/data.csv").set_index(["method", "problem", "epoch"])
    row = data.loc[("algorithm-1", "digits, T = 20", 40)]
    images = [loss("algorithm-1", image, 40, 20) for image in range(8)]
    assert row[["median", "low", "high", "n"]].tolist() == pytest.approx(
        [np.median(images), min(images), max(images), 8]
    )


def test_figure_8_draws_a_line_a_rate_and_figure_16_one_an_eta(drawn):
    assert set(pd.read_csv(drawn / "figure-8/data.csv")["lr"]) == {0.01, 0.05}
    assert (
        "one line per lr (0.01, 0.05): digits, T = 20 with 1-step gradient"
        in about(drawn, "figure-8")["files"][0]["alt"]
    )
    assert set(pd.read_csv(drawn / "figure-16/data.csv")["eta"]) == {0, 0.5, 1}


def test_lengths_stand_in_the_order_of_their_numbers(tmp_path):
    for T in (100, 20, 10, 50, 30):
        write_frame(tmp_path / f"deq-ddim/table-3/digits/{T}.parquet", inversions.traces(T, images=2))
    figures.draw(EXHIBITS["figure-3"], sorted(tmp_path.rglob("*.parquet")), tmp_path / "out")
    data = json.loads((tmp_path / "out/figure.json").read_text())
    assert data["files"][0]["width"] <= 1000  # three charts side by side, not five


def test_pictures_carry_the_loss_that_their_own_pixels_have(drawn, tmp_path):
    tensors = inversions.write_pictures(tmp_path / "digits/10.safetensors", longer=True)
    data = pd.read_csv(drawn / "figure-4/data.csv")
    for method, label in (("algorithm-1", "DDIM, Algorithm 1"), ("sweeps", "sweeps, ours")):
        mine = data[(data["dataset"] == "digits") & (data["T"] == 10) & (data["row"] == label)]["loss"]
        expected = (tensors[f"{method}@0/best"] - tensors["target"]).double().square().sum(dim=(1, 2, 3))
        assert mine.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert (drawn / "figure-4/digits-10.svg").read_text().count("<image ") == 4 * 3
    longer = pd.read_csv(drawn / "figure-7/data.csv")
    assert set(longer["T"]) == {10} and "DDIM, T = 100" in set(longer["row"])  # T = 20 was not sampled again


def test_a_short_budget_leaves_gaps_and_keeps_its_last_image(drawn):
    data = pd.read_csv(drawn / "figure-23/data.csv").query("T == 10")
    columns = data.groupby("row")["column"].apply(list).to_dict()
    assert columns["DDIM, Algorithm 1"] == ["update 0", "update 1", "update 5", "last"]
    assert columns["DEQ-DDIM, paper"] == ["update 0", "update 1", "last"]
    assert (drawn / "figure-23/digits-10.svg").read_text().count("<image ") == 5 + 4


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
    spec = {**EXHIBITS["figure-3"].spec, "where": {"method": ["nobody"]}}
    figures.draw(replace(EXHIBITS["figure-3"], spec=spec), [path], tmp_path / "out")
    assert json.loads((tmp_path / "out/figure.json").read_text())["files"] == []


def test_the_verdicts_follow_from_the_made_up_losses(cells):
    frame = pd.concat(cells.values(), ignore_index=True)
    found = {claim.id: claims.judge(claim, frame, DEMO) for claim in papers.claims("deq-ddim")}
    verdicts = {name: judged["verdict"] for name, judged in found.items()}
    assert verdicts["ddim-12"] == verdicts["ddim-24"] == verdicts["ddim-16"] == "reproduced"
    assert verdicts["ddim-14"] == "inconclusive"  # of T = 20 only two images get down to a loss of 2 at all
    assert {row["verdict"] for row in found["ddim-14"]["measured"] if "T=10" in row["label"]} == {"reproduced"}
    assert verdicts["ddim-15"] == "contradicted"  # the steeper line has the larger spread over lengths
    assert verdicts["ddim-18"] == "reproduced"
    assert verdicts["ddim-17"] == "not testable at this scale"  # the made-up run has no rate of 0.005
    assert verdicts["ddim-13"] == "not testable at this scale"
    assert "Measured all the same" in found["ddim-13"]["sentence"]
    assert verdicts["ddim-22"] == "reproduced"
    assert verdicts["ddim-23"] in ("reproduced", "inconclusive")


@pytest.fixture(scope="module")
def pages(cells, drawn, tmp_path_factory):
    """The pages of the made-up run, by name; accepted tables of chains of 100 steps lie beside it."""
    root = tmp_path_factory.mktemp("site")
    for name in ("deqbench", "config", "rules", "reports/templates", "reports/static"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(synthetic.REPOSITORY / name)
    results = root / "results/tiny"
    inversions.write_run(results)
    for name, frame in cells.items():
        write_frame(results / f"tables/deq-ddim/{name}.csv", frame)
    shutil.copytree(drawn, results / "figures/deq-ddim")
    frame = pd.concat(cells.values(), ignore_index=True)
    write_json(
        results / "claims/deq-ddim.json", [claims.judge(claim, frame, DEMO) for claim in papers.claims("deq-ddim")]
    )
    longer = tables.cells(EXHIBITS["table-3"], inversions.records(100), DEMO)
    write_frame(root / "results/reference/medium/deq-ddim/table-3.csv", longer)
    site.build(synthetic.config(), "config/tiny.yaml", root)
    found = {path.name: Page(path.read_text()) for path in (root / "reports/tiny").glob("*.html")}
    found["summary"] = (root / "reports/tiny/summary.md").read_text()
    found["out"] = root / "reports/tiny"
    return found


def test_the_pages_of_inversions_are_whole_and_lead_to_their_files(pages):
    for name in ("deq-ddim.html", "performance.html", "index.html"):
        page = pages[name]
        assert len(page.ids) == len(set(page.ids)) and (page.open, page.crossed) == ([], [])
        files = [link for link in page.links if link.endswith((".svg", ".csv")) and not link.startswith("..")]
        assert all((pages["out"] / link).is_file() for link in files)
    assert "figures/deq-ddim/figure-4/digits-10.svg" in pages["deq-ddim.html"].links
    assert "figures/deq-ddim/inversion/seconds.svg" in pages["performance.html"].links


def test_the_pages_of_inversions_say_what_a_reader_must_know(pages):
    words = " ".join(pages["deq-ddim.html"].words.split())
    assert "derived: 14.36 min / 3000 epochs" in words
    assert "printed 0.68 ± 0.32" in words
    assert "stands in for CIFAR10, CelebA" in words
    assert "it is the threshold of 0.5 at which a run was stopped" in words
    assert "Longer: accepted records of scale medium" in words and "T = 100" in words
    assert "The number under an image is its loss" in words
    performance = " ".join(pages["performance.html"].words.split())
    assert "Loss against seconds" in performance and "1 of 1 images never reach it" not in performance
    assert "Smallest loss" in performance or "smallest loss" in performance
    assert "times sooner than Algorithm 1" in pages["summary"]


def test_without_a_run_the_pages_of_inversions_say_that_nothing_is_measured(tmp_path):
    for name in ("deqbench", "config", "rules", "reports/templates", "reports/static"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(synthetic.REPOSITORY / name)
    site.build(synthetic.config(), "config/tiny.yaml", tmp_path)
    page = Page((tmp_path / "reports/tiny/deq-ddim.html").read_text())
    assert (page.open, page.crossed) == ([], [])
    words = " ".join(page.words.split())
    assert "Algorithm 1, backprop" not in words.split("Claims")[0]
    assert "1674.68" in words  # what the paper prints is there all the same
