"""What a predicate finds follows from the interval, the threshold and the control, and from nothing else."""

from itertools import pairwise

import numpy as np
import pytest
from judged import EQUIVALENCE, EXHIBIT, SHARE, row, verdict

from deqbench.errors import UserError


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


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.4, 0.4, "reproduced"), (-0.6, 0.4, "inconclusive"), (0.3, 0.5, "inconclusive"), (0.6, 0.9, "contradicted")],
)
def test_an_absolute_margin_needs_no_other_cell(low, high, expected):
    predicate = {"kind": "equivalence", "exhibit": EXHIBIT, "method": "ours", "metric": "m", "margin": 0.5}
    found, facts = verdict([predicate], [row("ours", "m", (low + high) / 2, low, high)])
    assert (found, facts["measured"][0]["limits"]) == (expected, (-0.5, 0.5))
    rows = [row("ours", "m", 0.0, -0.1, 0.1), row("bad", "m", 0.3, 0.1, 0.45)]
    assert verdict([{**predicate, "control": "bad"}], rows)[0] == "inconclusive"


@pytest.mark.parametrize(("kind", "value"), [("share", 1.2), ("share", -0.1), ("correlation", -1.5)])
def test_a_value_that_a_kind_cannot_have_is_an_error(kind, value):
    with pytest.raises(UserError, match=f"a {kind} lies from .* to 1; found"):
        bounded(kind, value, value, at_least=0.5)


def test_a_correlation_is_judged_by_its_interval():
    assert bounded("correlation", -0.9, -0.2, at_most=0) == "reproduced"
    assert bounded("correlation", -0.9, 0.2, at_most=0) == "inconclusive"


def test_what_falls_along_a_key_does_not_rise():
    assert rising((4, 5), (2, 3), (1, 2), falls=True)[0] == "reproduced"
    found, facts = rising((1, 2), (4, 5), falls=True)
    assert (found, facts["measured"][0]["low"], facts["measured"][0]["high"]) == ("contradicted", -4, -2)
    assert facts["measured"][0]["label"].startswith("fall of m of ours")


ORDER = {"kind": "order", "exhibit": EXHIBIT, "metric": "m", "of": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(1, 2), (2, 3), (4, 5)], "reproduced"),
        ([(1, 2), (1.5, 3), (4, 5)], "inconclusive"),
        ([(1, 2), (4, 5), (2, 3)], "contradicted"),
    ],
)
def test_an_order_compares_each_method_with_the_one_before(intervals, expected):
    rows = [
        row(name, "m", sum(i) / 2, *i, n=30 + at) for at, (name, i) in enumerate(zip("abc", intervals, strict=True))
    ]
    found, facts = verdict([ORDER], rows[::-1])
    assert found == expected
    assert [(m["low"], m["high"], m["n"]) for m in facts["measured"]] == [
        (there[0] - here[1], there[1] - here[0], 30 + at) for at, (here, there) in enumerate(pairwise(intervals))
    ]


def test_an_order_without_one_of_its_cells_says_what_it_needs():
    found, facts = verdict([ORDER], [row("a", "m", 1, 1, 1), row("c", "m", 2, 2, 2)])
    assert (found, facts["needs"]) == ("not testable at this scale", ["m of a and b and c"])


NEAREST = {"kind": "named", "function": "nearest", "exhibit": EXHIBIT, "metric": "m", "method": "ours"}
NEAREST |= {"reference": "truth", "others": ["a", "b"]}


def nearest(ours, a, b, truth=(0.0, 0.0)):
    intervals = {"ours": ours, "a": a, "b": b, "truth": truth}
    return verdict([NEAREST], [row(name, "m", sum(i) / 2, *i) for name, i in intervals.items()])


def test_the_nearest_to_a_reference_is_told_by_the_distances_on_either_side():
    found, facts = nearest((-2, -1), (3, 4), (-9, -8))
    assert (found, facts["measured"][0]["value"]) == ("reproduced", 2.0)  # 3.5 from the truth against 1.5
    assert (facts["measured"][0]["low"], facts["measured"][0]["high"]) == (1, 3)
    assert nearest((-2, -1), (1.5, 4), (-9, -8))[0] == "inconclusive"
    assert nearest((-9, -8), (1, 2), (20, 30))[0] == "contradicted"


def test_a_distance_may_be_0_where_the_intervals_meet():
    assert nearest((0.5, 0.6), (-1, 2), (3, 4))[0] == "inconclusive"
    assert nearest((0.5, 0.6), (1, 2), (3, 4), truth=(-1, 1))[0] == "inconclusive"
