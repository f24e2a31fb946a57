"""A claim's verdict is that of its predicates together, where the scale has what it needs."""

import numpy as np
import pandas as pd
import pytest
from judged import EQUIVALENCE, EXHIBIT, SHARE, SMOKE, claim, row, verdict

from deqbench.report.claims import judge_elsewhere


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


def test_an_optional_predicate_without_cells_is_left_out():
    long = {**SHARE, "where": {"T": 500}, "optional": True}
    assert verdict([SHARE, long], [row("ours", "m", 0.7, 0.6, 0.8, T=25)])[0] == "reproduced"


def test_a_measure_that_no_scale_has_keeps_a_claim_untested():
    found, facts = verdict([SHARE], [row("ours", "m", 0.7, 0.6, 0.8)], needs=[{"measure": "the cycle"}])
    assert (found, facts["needs"]) == ("not testable at this scale", ["a measure of the cycle"])


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
    frames = {scale: pd.DataFrame(found).assign(accepted="2024-05-01 10:00 UTC") for scale, found in accepted.items()}
    return judge_elsewhere(claim(predicates), pd.DataFrame(rows), frames, SMOKE)


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
