"""Cells hold what numpy and scipy make of the same records, beside the value that the paper prints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import yaml

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.report import tables

SMOKE = Path(__file__).parents[2] / "config/smoke.yaml"
RNG = np.random.default_rng(3)
QUALITY = RNG.normal(2, 1, 12)
ROUNDS = RNG.integers(8, 16, 12).astype(float)
GOOD = np.array([1.0] * 9 + [0.0] * 3)
TIMES = {"ddim": RNG.lognormal(0, 0.2, 12), "deq-ddim-paper": RNG.lognormal(-1, 0.3, 12)}
SPEC = {
    "experiment": "table-1",
    "labels": {"ddim": "DDIM, step by step"},
    "printed_methods": {"ddim": "DDIM", "deq-ddim-paper": "DEQ-DDIM"},
    "metrics": [
        {
            "id": "quality",
            "label": "quality",
            "unit": "points",
            "direction": "lower",
            "printed": "FID",
            "format": ".2f",
        },
        {"id": "rounds", "label": "rounds", "statistic": "median", "absent": "not counted here"},
        {"id": "good", "label": "share", "statistic": "share"},
        {"id": "time_s", "label": "time", "statistic": "time", "printed": "time per image"},
        {"id": "ratio", "label": "speed-up", "ratio_of": "time_s", "printed": "time per image"},
    ],
}
EXHIBIT = papers.Exhibit(
    paper="deq-ddim",
    id="table-1",
    kind="table",
    number="1",
    title="",
    caption="",
    printed="tables/table-1.csv",
    spec=SPEC,
)


def config() -> scale.Config:
    """Digits stand in for CIFAR10; tissue is taken for CelebA itself; plain belongs to no printed row."""
    values = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
    digits = values["datasets"]["digits"]
    about = {key: value for key, value in digits.items() if key != "stands_in_for"}
    values["datasets"] = {"plain": about, "tissue": {**about, "printed_as": "CelebA"}, "digits": digits}
    return scale.validate(values, "test")


def rows(method, metric, values, dataset="digits", T=10):
    keys = {"paper": "deq-ddim", "experiment": "table-1", "dataset": dataset, "T": T, "method": method}
    return [{**keys, "metric": metric, "unit": "", "image": i, "value": value} for i, value in enumerate(values)]


def records(dataset="digits", T=10):
    found = rows("ddim", "quality", QUALITY, dataset, T) + rows("ddim", "rounds", ROUNDS, dataset, T)
    found += rows("deq-ddim-paper", "quality", QUALITY + 1, dataset, T)
    found += rows("deq-ddim-paper", "good", GOOD, dataset, T)
    for method, times in TIMES.items():
        found += rows(method, "time_s", times, dataset, T)
    return pd.DataFrame(found)


def cell(method, metric, found=None, dataset="digits"):
    found = tables.cells(EXHIBIT, records(), config()) if found is None else found
    (place,) = found.index[(found[["method", "metric", "dataset"]] == (method, metric, dataset)).all(axis=1)]
    return found.loc[place]


def interval(found):
    return [found["value"], found["low"], found["high"]]


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
    values["papers"]["deq-ddim"] |= {"comparison": None}  # which must hold the baseline
    values["papers"]["deq-ddim"]["table-1"]["baseline"] = "deq-ddim-paper"
    found = tables.cells(EXHIBIT, records(), scale.validate(values, "test"))
    assert interval(cell("ddim", "ratio", found)) == pytest.approx(geometric(TIMES["deq-ddim-paper"] / TIMES["ddim"]))
    assert cell("ddim", "ratio", found)["printed"] == f"{2.91 / 20.16:.2f}"
    assert cell("deq-ddim-paper", "ratio", found)["note"] == "the baseline itself"


def test_the_printed_value_and_the_printed_ratio_come_from_the_papers_table():
    found = cell("deq-ddim-paper", "quality")
    assert (found["printed"], found["printed_row"], found["stands_in_for"]) == ("3.79", "CIFAR10, T=1000", "CIFAR10")
    assert cell("deq-ddim-paper", "time_s")["printed"] == "2.91"
    assert cell("deq-ddim-paper", "ratio")["printed"] == f"{20.16 / 2.91:.2f}"
    assert cell("ddim", "ratio")["printed"] == ""
    assert cell("deq-ddim-paper", "rounds")["printed"] == ""


@pytest.mark.parametrize(
    ("dataset", "relation", "printed", "stands_in_for"),
    [("digits", "stand-in", "3.79", "CIFAR10"), ("tissue", "same", "2.92", ""), ("plain", "", "", "")],
)
def test_a_stand_in_is_told_from_the_papers_own_data(dataset, relation, printed, stands_in_for):
    found = cell("deq-ddim-paper", "quality", tables.cells(EXHIBIT, records(dataset), config()), dataset)
    assert (found["relation"], found["printed"], found["stands_in_for"]) == (relation, printed, stands_in_for)


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
        tables.cells(replace(papers.exhibit("deq-ddim/table-3"), spec={}), records(), config())
    with pytest.raises(UserError, match="expected records of table-1; found none"):
        tables.cells(EXHIBIT, records().iloc[:0], config())


def stochastic(dataset="digits", eta=0.2, T=20):
    """Two methods' scores and times and the larger variance's score at one eta."""
    found = records(dataset, T)
    large = pd.DataFrame(rows("ddpm-large", "quality", QUALITY + 3, dataset, T))
    return pd.concat([found.replace("deq-ddim-paper", "deq-sddim-paper"), large]).assign(eta=eta)


def of_table(name, *parts):
    """The cells of a stochastic table with the metrics above, by eta, method and metric."""
    spec = papers.exhibit(f"deq-ddim/{name}").spec
    exhibit = replace(papers.exhibit(f"deq-ddim/{name}"), spec={**spec, "metrics": SPEC["metrics"]})
    found = tables.cells(exhibit, pd.concat(parts), config())
    return found.set_index(["eta", "method", "metric"]).sort_index()


def test_a_stochastic_table_has_a_group_for_each_eta_beside_the_printed_row_of_its_eta_and_T():
    found = of_table("table-2", stochastic(eta=0.2), stochastic(eta=1.0))
    assert set(found.index.get_level_values("eta")) == {0.2, 1.0}
    printed = found["printed"]
    assert [printed[eta, "deq-sddim-paper", "quality"] for eta in (0.2, 1.0)] == ["6.99", "17.72"]
    assert [printed[eta, "ddim", "quality"] for eta in (0.2, 1.0)] == ["7.19", "18.37"]
    assert printed[1.0, "deq-sddim-paper", "ratio"] == f"{0.34 / 0.93:.2f}"
    cell = found.loc[(0.2, "deq-sddim-paper", "quality")]
    assert (cell["printed_row"], cell["relation"], cell["stands_in_for"]) == ("eta=0.2 T=20", "stand-in", "CIFAR10")


def test_a_ratio_is_of_the_baseline_at_the_same_eta():
    slow = stochastic(eta=1.0)
    slow.loc[slow["metric"] == "time_s", "value"] *= np.where(
        slow["method"][slow["metric"] == "time_s"] == "ddim", 3, 1
    )
    found = of_table("table-2", stochastic(eta=0.2), slow)["value"]
    assert found[1.0, "deq-sddim-paper", "ratio"] == pytest.approx(3 * found[0.2, "deq-sddim-paper", "ratio"])


def test_the_row_that_a_caption_quotes_is_marked_so():
    found = of_table("table-2", stochastic(eta=1.0)).loc[(1.0, "ddpm-large", "quality")]
    assert (found["printed"], found["printed_row"]) == ("133.37", "caption T=20, quoted")


def test_an_eta_or_T_that_the_paper_does_not_print_stands_alone():
    for part in (stochastic(eta=0.3), stochastic(T=10)):
        assert set(of_table("table-2", part[part["method"] != "ddpm-large"])["printed"]) == {""}


def test_a_stochastic_table_s_data_set_stands_in_for_that_of_the_table_whatever_else_it_stands_in_for():
    tissue, digits = of_table("table-4", stochastic("tissue")), of_table("table-4", stochastic("digits"))
    assert set(tissue["stands_in_for"]) == {""}  # tissue is taken for CelebA itself
    assert set(digits["stands_in_for"]) == {"CelebA"}
    assert tissue.loc[(0.2, "ddim", "quality"), ["printed", "relation"]].tolist() == ["13.85", "same"]
    assert digits.loc[(0.2, "ddim", "quality"), ["printed", "relation"]].tolist() == ["13.85", "stand-in"]
    elsewhere = of_table("table-2", stochastic("tissue"))  # CelebA in the place of CIFAR10
    assert set(elsewhere["stands_in_for"]) == {"CIFAR10"}


def test_a_ratio_to_the_baseline_is_the_other_way_round_and_zeros_leave_a_reason():
    metric = {"id": "slower", "label": "slower", "ratio_to": "time_s"}
    exhibit = replace(EXHIBIT, spec={**SPEC, "metrics": [metric]})
    found = records()
    slower = tables.cells(exhibit, found, config()).set_index("method").loc["deq-ddim-paper"]
    assert interval(slower) == pytest.approx(geometric(TIMES["deq-ddim-paper"] / TIMES["ddim"]))
    found.loc[(found["method"] == "deq-ddim-paper") & (found["image"] < 2), "value"] = 0.0
    none = tables.cells(exhibit, found, config()).set_index("method").loc["deq-ddim-paper"]
    assert np.isnan(none["value"]) and none["note"] == "exactly 0 for 2 of 12 images"


def test_a_geometric_mean_stands_with_the_interval_of_the_logarithms():
    metric = {"id": "time_s", "label": "time", "statistic": "geometric mean"}
    exhibit = replace(EXHIBIT, spec={**SPEC, "metrics": [metric]})
    found = tables.cells(exhibit, records(), config()).set_index("method").loc["ddim"]
    assert interval(found) == pytest.approx(geometric(TIMES["ddim"]))


def test_of_a_row_printed_several_times_the_one_with_the_group_s_iterations_is_shown():
    demo = scale.load(SMOKE.with_name("demo.yaml"))
    rows = [
        {
            "dataset": "latent",
            "iterations": count,
            "method": "gradient-paper",
            "metric": "nmse_db",
            "image": k,
            "value": v,
        }
        for count in (20, 30, 77)
        for k, v in enumerate((-15.0, -17.0))
    ]
    exhibit = papers.exhibit("decoder-inversion/table-s1a")
    found = tables.cells(exhibit, pd.DataFrame(rows), demo).query("metric == 'nmse_db'").set_index("iterations")
    printed = pd.read_csv(papers.__path__[0] + "/decoder-inversion/tables/table-s1a.csv", dtype=str)
    own = printed.query("metric == 'NMSE' and row == 'Gradient-based 32-bit lr 0.1 scheduled'").set_index("iterations")
    for count in (20, 30):
        assert own["value"][str(count)] in found["printed"][count]
        assert found["relation"][count] == "stand-in"
    assert found["printed"][77] == ""
