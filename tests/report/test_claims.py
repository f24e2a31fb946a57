"""A verdict follows from the interval, the threshold and the control, and from nothing else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.metrics import scores
from deqbench.report.claims import KINDS, judge, judge_elsewhere
from deqbench.report.tables import COLUMNS

ROOT = Path(__file__).parents[2]
SMOKE = scale.load(ROOT / "config/smoke.yaml")
DEMO = scale.load(ROOT / "config/demo.yaml")
SPECIAL = {scores.REAL, scores.SPOILT}
EXHIBIT = "deq-ddim/table-1"


def row(method, metric, value, low, high, *, dataset="digits", T=25, n=40, exhibit="table-1"):
    found = {"paper": "deq-ddim", "exhibit": exhibit, "dataset": dataset, "T": T, "method": method, "metric": metric}
    found |= {"value": value, "low": low, "high": high, "n": n, "method_label": method, "metric_label": metric}
    return dict.fromkeys(COLUMNS, "") | found | {"stands_in_for": "CIFAR10" if dataset == "digits" else ""}


def verdict(predicates, rows, **claim):
    found = judge({"id": "c-1", "statement": "So it is", "predicates": predicates, **claim}, pd.DataFrame(rows), SMOKE)
    return found["verdict"], found


def bounded(kind, low, high, **bound):
    predicate = {"kind": kind, "exhibit": EXHIBIT, "method": "ours", "metric": "m", **bound}
    return verdict([predicate], [row("ours", "m", (low + high) / 2, low, high)])[0]


@pytest.mark.parametrize("kind", ["ratio", "difference", "share"])
@pytest.mark.parametrize(
    ("low", "high", "bound", "expected"),
    [
        (0.6, 0.8, {"at_least": 0.5}, "reproduced"),
        (0.5, 0.8, {"at_least": 0.5}, "reproduced"),
        (0.4, 0.8, {"at_least": 0.5}, "inconclusive"),
        (0.2, 0.4, {"at_least": 0.5}, "contradicted"),
        (0.2, 0.4, {"at_most": 0.5}, "reproduced"),
        (0.2, 0.5, {"at_most": 0.5}, "reproduced"),
        (0.4, 0.8, {"at_most": 0.5}, "inconclusive"),
        (0.6, 0.8, {"at_most": 0.5}, "contradicted"),
    ],
)
def test_an_interval_on_one_side_of_the_threshold_decides_and_one_across_it_does_not(kind, low, high, bound, expected):
    assert bounded(kind, low, high, **bound) == expected


def test_a_difference_may_be_negative_but_a_ratio_may_not():
    assert bounded("difference", -3, -1, at_most=0) == "reproduced"
    with pytest.raises(UserError, match="a ratio claim needs positive values; found -3"):
        bounded("ratio", -3, -1, at_most=0)
    with pytest.raises(UserError, match="positive values; found 0"):
        bounded("ratio", 0, 1, at_most=2)


EQUIVALENCE = {
    "kind": "equivalence",
    "exhibit": EXHIBIT,
    "method": "ours",
    "metric": "difference",
    "margin_share": 0.1,
    "margin_of": {"method": "base", "metric": "score"},
    "control": "bad",
}


def equivalent(low, high, control=(0.5, 0.9), base=2.0):
    """A margin of 0.2 unless the base's score is another one."""
    rows = [row("base", "score", base, 1.5, 2.5), row("ours", "difference", (low + high) / 2, low, high)]
    rows += [row("bad", "difference", sum(control) / 2, *control)] if control else []
    return verdict([EQUIVALENCE], rows)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.1, 0.15, "reproduced"),
        (-0.1, 0.25, "inconclusive"),
        (-0.25, 0.1, "inconclusive"),
        (-0.1, 0.2, "inconclusive"),
        (0.25, 0.4, "contradicted"),
        (-0.4, -0.25, "contradicted"),
    ],
)
def test_equivalence_asks_for_the_whole_interval_inside_the_margin(low, high, expected):
    assert equivalent(low, high)[0] == expected


@pytest.mark.parametrize("interval", [(-0.1, 0.15), (0.25, 0.4)])
@pytest.mark.parametrize("control", [(0.1, 0.9), (-0.1, 0.1), None])
def test_without_a_control_told_apart_equivalence_stays_open(interval, control):
    found, facts = equivalent(*interval, control=control)
    assert found == "inconclusive"
    assert "the known-bad control is not told apart" in facts["sentence"]


@pytest.mark.parametrize("base", [np.nan, np.inf])
def test_a_margin_of_no_number_is_an_error(base):
    with pytest.raises(UserError, match="margin of an equivalence: expected a number for score of base"):
        equivalent(0.0, 0.1, base=base)


def test_several_predicates_are_all_needed_and_one_contradiction_is_enough():
    def together(*intervals):
        predicates = [
            {"kind": "share", "exhibit": EXHIBIT, "method": "ours", "metric": f"m{i}", "at_least": 0.5}
            for i in range(len(intervals))
        ]
        return verdict(predicates, [row("ours", f"m{i}", 0.5, *interval) for i, interval in enumerate(intervals)])[0]

    good, open_, bad = (0.6, 0.9), (0.4, 0.9), (0.1, 0.3)
    assert together(good, good) == "reproduced"
    assert together(good, open_) == "inconclusive"
    assert together(good, open_, bad) == "contradicted"


MONOTONE = {"kind": "monotone", "exhibit": EXHIBIT, "method": "ours", "metric": "m", "along": "eta"}


def rising(*intervals, along="eta", **predicate):
    """The verdict on cells at eta 0.1, 0.2, ... with those intervals, given in another order."""
    rows = [row("ours", "m", sum(i) / 2, *i) | {along: (at + 1) / 10} for at, i in enumerate(intervals)]
    return verdict([{**MONOTONE, "along": along, **predicate}], rows[::-1])


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(1, 2), (2, 3), (4, 5)], "reproduced"),
        ([(3, 3), (3, 3)], "reproduced"),
        ([(1, 2), (1.5, 3), (4, 5)], "inconclusive"),
        ([(1, 2), (4, 5), (2, 3)], "contradicted"),
    ],
)
def test_monotone_asks_that_no_interval_lies_below_the_one_before(intervals, expected):
    found, facts = rising(*intervals)
    assert found == expected
    assert len(facts["measured"]) == len(intervals) - 1
    assert facts["measured"][0]["label"].endswith("on digits, T=25, eta 0.1 to 0.2")
    (low, high), (low_next, high_next) = intervals[:2]
    first = facts["measured"][0]
    assert (first["low"], first["high"]) == (low_next - high, high_next - low)


def test_monotone_compares_neighbours_along_its_key_only():
    rows = [row("ours", "m", v, v, v, T=T) | {"eta": eta} for T, eta, v in ((10, 0.2, 5), (20, 0.2, 1), (20, 1.0, 2))]
    found, facts = verdict([MONOTONE], rows)
    assert (found, len(facts["measured"])) == ("reproduced", 1)
    assert verdict([MONOTONE | {"along": "T"}], rows)[0] == "contradicted"


def test_monotone_with_one_value_of_its_key_is_not_testable_and_says_what_it_needs():
    found, facts = rising((1, 2))
    assert (found, facts["needs"]) == ("not testable at this scale", ["m of ours at two values of eta"])


def test_an_optional_predicate_without_cells_is_left_out():
    long = {**SHARE, "where": {"T": 500}, "optional": True}
    assert verdict([SHARE, long], [row("ours", "m", 0.7, 0.6, 0.8, T=25)])[0] == "reproduced"


def test_a_measure_that_no_scale_has_keeps_a_claim_untested():
    found, facts = verdict([SHARE], [row("ours", "m", 0.7, 0.6, 0.8)], needs=[{"measure": "the cycle"}])
    assert (found, facts["needs"]) == ("not testable at this scale", ["a measure of the cycle"])


SHARE = {"kind": "share", "exhibit": EXHIBIT, "method": "ours", "metric": "m", "at_least": 0.5}


@pytest.mark.parametrize(
    ("needs", "words"),
    [([{"device": "cuda"}], "a device of kind cuda"), ([{"dataset": "CIFAR10"}], "the data set CIFAR10")],
)
def test_what_a_claim_needs_and_lacks_is_said_beside_the_value_measured_all_the_same(needs, words):
    found, facts = verdict([SHARE], [row("ours", "m", 0.7, 0.6, 0.8)], needs=needs)
    assert found == "not testable at this scale"
    assert facts["needs"] == [words]
    assert "0.7 [0.6, 0.8]" in facts["sentence"]
    assert [m["value"] for m in facts["measured"]] == [0.7]


def test_needs_that_this_scale_has_do_not_stand_in_the_way():
    assert verdict([SHARE], [row("ours", "m", 0.7, 0.6, 0.8)], needs=[{"device": "cpu"}])[0] == "reproduced"


def test_a_predicate_that_no_cell_fits_is_not_testable_here():
    long = {**SHARE, "where": {"T": [500, 1000]}}
    found, facts = verdict([SHARE, long], [row("ours", "m", 0.7, 0.6, 0.8, T=25)])
    assert found == "not testable at this scale"
    assert facts["needs"] == ["m of ours at T in [500, 1000]"]
    empty = row("ours", "m", np.nan, np.nan, np.nan, n=0)
    assert verdict([SHARE], [empty])[1]["needs"] == ["m of ours"]


def test_where_picks_the_cells_and_each_group_is_judged_by_itself():
    rows = [row("ours", "m", 0.7, 0.6, 0.8, T=25), row("ours", "m", 0.2, 0.1, 0.3, T=500)]
    rows += [row("ours", "m", 0.2, 0.1, 0.3, exhibit="figure-1")]
    assert verdict([{**SHARE, "where": {"T": 25}}], rows)[0] == "reproduced"
    assert verdict([{**SHARE, "where": {"T": [500]}}], rows)[0] == "contradicted"
    found, facts = verdict([SHARE], rows)
    assert found == "contradicted"
    assert [m["verdict"] for m in facts["measured"]] == ["reproduced", "contradicted"]


@pytest.mark.parametrize("value", [(np.nan, np.nan, np.nan), (0.7, np.nan, np.nan), (np.inf, 0.6, 0.8)])
def test_a_cell_that_is_no_number_is_an_error_not_a_verdict(value):
    with pytest.raises(UserError, match="claim c-1: expected a number with an interval at digits, T=25"):
        verdict([SHARE], [row("ours", "m", *value)])


def test_a_single_image_bears_no_verdict_unless_it_has_an_interval():
    alone = row("ours", "m", 0.7, np.nan, np.nan, n=1)
    assert verdict([SHARE], [alone])[1]["needs"] == ["m of ours"]
    assert verdict([SHARE], [alone, row("ours", "m", 0.7, 0.7, 0.7, n=1, T=50)])[0] == "reproduced"


def test_an_unknown_kind_is_refused_with_the_nearest_known_one():
    with pytest.raises(UserError, match="found 'equivalense' \\(did you mean 'equivalence'\\?\\)"):
        verdict([{**SHARE, "kind": "equivalense"}], [row("ours", "m", 0.7, 0.6, 0.8)])


def test_a_claim_without_predicates_is_not_measured_yet():
    assert verdict([], [row("ours", "m", 0.7, 0.6, 0.8)])[0] == "not measured yet"


def test_only_the_stand_ins_that_were_judged_are_named():
    rows = [row("ours", "m", 0.7, 0.6, 0.8, dataset="tissue"), row("ours", "m", 0.7, 0.6, 0.8)]
    assert "(on stand-in data: digits)" in verdict([SHARE], rows)[1]["sentence"]
    assert "stand-in" not in verdict([{**SHARE, "where": {"dataset": "tissue"}}], rows)[1]["sentence"]


def test_the_order_of_cells_changes_nothing():
    rows = [row("base", "score", 2.0, 1.5, 2.5), row("ours", "difference", 0.0, -0.1, 0.1)]
    rows += [row("bad", "difference", 0.7, 0.5, 0.9)]
    every = [{**found, "T": T, "dataset": name} for found in rows for T in (25, 500) for name in ("tissue", "digits")]
    expected = verdict([EQUIVALENCE], every)
    assert len(expected[1]["measured"]) == 4
    for seed in range(4):
        shuffled = np.random.default_rng(seed).permutation(len(every))
        assert verdict([EQUIVALENCE], [every[i] for i in shuffled]) == expected


def elsewhere(predicates, rows, accepted):
    claim = {"id": "c-1", "statement": "So it is", "predicates": predicates}
    frames = {scale: pd.DataFrame(found).assign(accepted="2024-05-01 10:00 UTC") for scale, found in accepted.items()}
    return judge_elsewhere(claim, pd.DataFrame(rows), frames, SMOKE)


def at_least(metric, exhibit="table-1"):
    return {
        "kind": "share",
        "exhibit": f"deq-ddim/{exhibit}",
        "method": "ours",
        "metric": metric,
        "at_least": 0.5,
    }


def test_each_other_scale_that_measures_a_claim_has_a_verdict_of_its_own():
    good, bad = row("ours", "m", 0.8, 0.6, 0.9), row("ours", "m", 0.2, 0.1, 0.3)
    found = elsewhere([at_least("m")], [bad], {"large": [good], "other": [row("ours", "another", 1, 1, 1)]})
    assert [(entry["scale"], entry["date"], entry["verdict"]) for entry in found] == [
        ("large", "2024-05-01", "reproduced")
    ]
    assert found[0]["measured"][0]["value"] == 0.8


def test_tables_that_another_scale_has_not_are_this_runs_and_tables_that_it_has_are_its_own():
    here = [row("ours", "m", 0.8, 0.6, 0.9, exhibit="figure-1"), row("ours", "m", 0.2, 0.1, 0.3)]
    both = [at_least("m"), at_least("m", "figure-1")]
    (found,) = elsewhere(both, here, {"large": [row("ours", "m", 0.7, 0.6, 0.9)]})
    assert (found["verdict"], len(found["measured"])) == ("reproduced", 2)
    (found,) = elsewhere(
        both, here, {"large": [row("ours", "m", 0.7, 0.6, 0.9), row("x", "m", 1, 1, 1, exhibit="figure-1")]}
    )
    assert found["verdict"] == "not testable at this scale"
    assert elsewhere(both, here, {"large": [row("x", "m", 1, 1, 1)]}) == []


PREDICATES = [
    pytest.param(claim, predicate, id=f"{claim['id']}-{i}")
    for paper in papers.PAPERS
    for claim in papers.claims(paper)
    for i, predicate in enumerate(claim.get("predicates", []))
]


@pytest.mark.parametrize(("claim", "predicate"), PREDICATES)
def test_every_predicate_of_the_package_can_be_judged(claim, predicate):
    spec = papers.exhibit(predicate["exhibit"]).spec
    methods = (
        set(DEMO.papers.deq_ddim.methods) | set(DEMO.papers.deq_ddim.inverters) | set(spec.get("labels", {})) | SPECIAL
    )
    metrics = {metric["id"] for metric in spec["metrics"]}
    assert predicate["kind"] in KINDS
    assert {predicate["metric"], predicate.get("margin_of", predicate)["metric"]} <= metrics
    named = {predicate["method"], predicate.get("control", predicate["method"])}
    assert named | {predicate.get("margin_of", predicate)["method"]} <= methods
    if predicate["kind"] == "equivalence":
        assert predicate["margin_share"] > 0
        assert predicate["control"] != predicate["method"]
    elif predicate["kind"] == "monotone":
        assert predicate["along"] in spec["group"]
    else:
        assert len({"at_least", "at_most"} & predicate.keys()) == 1
    known = {"kind", "exhibit", "where", "method", "metric", "at_least", "at_most", "along", "optional"}
    assert predicate.keys() <= known | {"margin_share", "margin_of", "control"}
    assert predicate.get("where", {}).keys() <= {*spec["group"], "printed_row"}
    assert all(need.keys() <= {"device", "dataset", "measure"} for need in claim.get("needs", []))
