"""Beside a cell stands the value that the paper prints for the same method, data and keys, or nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from tabled import EXHIBIT, QUALITY, SMOKE, SPEC, cell, config, records, rows

from deqbench import papers, scale
from deqbench.papers.spec import Metric
from deqbench.report import tables


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


def stochastic(dataset="digits", eta=0.2, T=20):
    """Two methods' scores and times and the larger variance's score at one eta."""
    found = records(dataset, T)
    large = pd.DataFrame(rows("ddpm-large", "quality", QUALITY + 3, dataset, T))
    return pd.concat([found.replace("deq-ddim-paper", "deq-sddim-paper"), large]).assign(eta=eta)


def of_table(name, *parts):
    """The cells of a stochastic table with the metrics above, by eta, method and metric."""
    exhibit, metrics = papers.exhibit(f"deq-ddim/{name}"), tuple(Metric(**metric) for metric in SPEC["metrics"])
    exhibit = replace(exhibit, spec=exhibit.spec.model_copy(update={"metrics": metrics}))
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


def test_a_row_that_names_no_data_set_stands_beside_any_as_a_stand_in():
    exhibit, demo = papers.exhibit("deq-score-matching/table-10"), scale.load(SMOKE)
    about = {"paper": "deq-score-matching", "dataset": "winequality-red", "row": "DEQ-SM DKEF", "unit": "", "seed": 0}
    method, metric = {"method": "previous-absolute"}, {"metric": "iterations", "value": 9.0}
    found = tables.cells(exhibit, pd.DataFrame([{**about, **method, **metric}]), demo)
    (shown,) = found[found["metric"] == "picard_iterations"].to_dict("records")
    assert (shown["printed"], shown["relation"], shown["stands_in_for"]) == ("12.8", "stand-in", "")


@pytest.mark.parametrize(
    ("dataset", "section", "printed", "relation"),
    [
        ("red", {"printed_as": "RedWine"}, "-44.5 \N{PLUS-MINUS SIGN} 4.1", "same"),
        ("other", {"stands_in_for": "Parkinson"}, "-152.1 \N{PLUS-MINUS SIGN} 4.7", "stand-in"),
        ("plain", {}, "", ""),
    ],
)
def test_of_a_table_of_several_data_sets_the_own_one_s_row_is_shown(dataset, section, printed, relation):
    values = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
    kernels = values["papers"]["deq-score-matching"]["table-2"]
    kernels["datasets"] = {dataset: kernels["datasets"]["winequality-red"]}
    values["papers"] = {"deq-score-matching": {"table-2": kernels}}
    values["datasets"] = {dataset: {"source": "digits", **section}}
    exhibit = papers.exhibit("deq-score-matching/table-2")
    about = {"paper": "deq-score-matching", "experiment": "table-2", "dataset": dataset, "metric": "sm_loss"}
    found = pd.DataFrame(
        [{**about, "method": m, "split": k, "value": -20.0 - k, "unit": ""} for m in ("sm", "deq-sm") for k in range(3)]
    )
    cells = tables.cells(exhibit, found, scale.validate(values, "test"))
    (mine,) = cells[(cells["method"] == "deq-sm") & (cells["metric"] == "dkef_loss")].to_dict("records")
    assert (mine["printed"], mine["relation"]) == (printed, relation)
    (change,) = cells[(cells["method"] == "deq-sm") & (cells["metric"] == "dkef_to_sm")].to_dict("records")
    assert change["printed"] == {"red": "-17.3", "other": "-28.4", "plain": ""}[dataset]
