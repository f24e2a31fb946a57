"""A paper is a folder: what it says once holds everywhere, and a fault in it is one sentence with file and key."""

import copy
import re
import subprocess
import sys

import pytest
from toy_paper import CLAIM, FIGURE, METRICS, PREDICATE, TABLE, content

from deqbench import papers
from deqbench.errors import UserError
from deqbench.papers import drawings


def changed(entry, path, value):
    """A copy of an entry with another value at a path such as spec/metrics/1/format."""
    entry = copy.deepcopy(entry)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    node = entry
    for part in parents:
        node = node[part]
    node[last] = value
    return entry


def test_a_paper_is_a_folder_and_stands_where_its_order_says(toy):
    toy()
    assert papers.PAPERS == ("deq-ddim", "decoder-inversion", "toy", "deq-score-matching", "jiio")
    assert papers.exhibit("toy/table-1").number == "Table 1" and papers.exhibit("toy/figure-2a").number == "Figure 2a"
    assert papers.preset("toy", "paper") == {"m": 5}
    assert papers.claims("toy")[0].predicates[0].exhibit == "toy/table-1"


def test_papers_without_an_order_come_last_by_name(toy):
    about = {key: value for key, value in content()["paper.yaml"].items() if key != "order"}
    toy(paper=about)
    assert papers.PAPERS[-1] == "toy"


def test_what_a_metric_says_once_holds_where_it_is_named_and_an_exhibit_may_say_otherwise(toy):
    toy()
    loss, gain = papers.exhibit("toy/table-1").spec.metrics
    assert (loss.label, loss.unit, loss.format, loss.help) == ("loss", "nats", ".2f", "Of the test set.")
    assert (gain.format, gain.comparisons, papers.exhibit("toy/figure-2a").spec.metrics[0].format) == (
        "+.1f",
        ("difference_to",),
        ".3g",
    )


def test_what_is_printed_is_said_only_where_something_is(toy):
    toy()
    table, figure = papers.exhibit("toy/table-1"), papers.exhibit("toy/figure-2a")
    assert (table.printed, table.spec.metric("gain").printed, table.spec.metric("gain").help) == (
        "tables/table-1.csv",
        "gain",
        "As said.",
    )
    assert (figure.printed, figure.spec.metric("gain").printed, figure.spec.metric("gain").help) == (None, None, "")


def test_labels_are_the_papers_with_those_of_the_exhibit_first(toy):
    toy()
    labels = papers.exhibit("toy/figure-2a").spec.labels
    assert list(labels.items()) == [("deep", "deeper"), ("plain", "plain layers"), ("epoch", "update")]
    alone = {"labels": {"deep": "deeper"}, "drawing": {"kind": "pareto", "families": {"deep": "all"}}}
    toy(figures=[{**FIGURE, "spec": alone}])
    assert papers.exhibit("toy/figure-2a").spec.labels == {"deep": "deeper"}


def test_an_exhibit_is_made_from_its_own_experiment_unless_it_says_another(toy):
    toy()
    assert papers.exhibit("toy/table-1").spec.experiment == papers.exhibit("toy/figure-2a").spec.experiment == "table-1"
    assert papers.exhibit("toy/figure-2a").records[0] == "toy/table-1/**/*.csv"
    toy(tables=[changed(TABLE, "spec/records", ["toy/table-1/*.csv"])])
    assert papers.exhibit("toy/table-1").records == ("toy/table-1/*.csv",)


def test_an_exhibit_that_nothing_measures_has_a_false_spec(toy):
    toy(figures=[{key: value for key, value in FIGURE.items() if key != "spec"}])
    assert not papers.exhibit("toy/figure-2a").spec and papers.exhibit("toy/table-1").spec
    assert papers.exhibit("toy/figure-2a").records == ()


TABLE_FAULTS = [
    ("captoin", "Losses.", "tables.yaml: table-1.captoin: expected one of .*unknown key (did you mean 'caption'?)"),
    ("caption", None, "tables.yaml: table-1.caption: expected a valid string; found null"),
    ("spec/gruop", ["T"], "table-1.spec.gruop: expected one of .*found an unknown key (did you mean 'group'?)"),
    ("spec/group", 5, "table-1.spec.group: expected a valid tuple; found 5"),
    ("spec/pairs", "images", "table-1.spec.pairs: expected one of image, split, .*(did you mean 'image'?)"),
    ("spec/baseline", "plane", "spec.baseline: expected one of .*found 'plane' (did you mean 'plain'?)"),
    ("spec/printed_methods", {"depe": "Deep"}, "spec.printed_methods: .*found 'depe' (did you mean 'deep'?)"),
    ("spec/only", {"method": ["depe"]}, "spec.only.method: expected one of .*did you mean 'deep'"),
    ("spec/metrics", ["los"], "spec.metrics: expected one of gain, loss; found 'los' (did you mean 'loss'?)"),
    ("spec/metrics", ["loss", "loss"], "spec.metrics: expected each metric once; found loss twice"),
    ("spec/metrics/1/format", ".3q", "spec.metrics.1.format: expected a number format such as .3g; found '.3q'"),
    ("spec/metrics/1/ratio_of", "loss", "expected one comparison; found ratio_of and difference_to"),
    ("spec/metrics/1/tolerance", {"relativ": 1}, "tolerance.relativ.*expected one of relative, .*'relative'"),
    ("spec/metrics/1/baseline", "plane", "spec.metrics.baseline: expected one of .*did you mean 'plain'"),
    ("spec/reduce", "by-rates", "spec.reduce: expected one of .*did you mean 'by-rate'"),
    ("printed", "tables/table-2.csv", "table-1.printed: expected a file of the paper; found no 'tables/table-2.csv'"),
]
FIGURE_FAULTS = [
    ("spec/drawing/kind", "curve", "figure-2a.spec.drawing.kind: expected one of .*(did you mean 'curves'?)"),
    ("spec/drawing/colour", "loss", "spec.drawing.colour: expected one of facet, .*found an unknown key"),
    ("spec/drawing/where", {"method": ["depe"]}, "drawing.where.method: expected one of .*did you mean 'deep'"),
]
CLAIM_FAULTS = [
    ("kind", "diference", "toy-01.predicates.0.kind: expected one of .*(did you mean 'difference'?)"),
    (
        "exhibit",
        "table-2",
        "toy-01.predicates.0.exhibit: expected one of .*'toy/table-2' (did you mean 'toy/table-1'?)",
    ),
    ("exhibit", "jiio/table-1", "0.exhibit: expected an exhibit with metrics; found 'jiio/table-1'"),
    ("metric", "gian", "toy-01.predicates.0.metric: expected one of gain, loss; found 'gian' (did you mean 'gain'?)"),
    ("method", "deap", "predicates.0.method: expected one of .*found 'deap' (did you mean 'deep'?)"),
    ("method", "plain", "method: expected another method than the baseline of gain; found 'plain'"),
    ("where", {"sede": 1}, "predicates.0.where: expected one of dataset, printed_row, seed; found 'sede'"),
    ("at_least", 1, "expected one of at_least, at_most; found two"),
    ("at_most", None, "expected one of at_least, at_most; found none"),
    ("kind", "share", None),
    ("optoinal", True, "predicates.0.optoinal: expected one of .*did you mean 'optional'"),
]


def fault(toy, file, values):
    toy(**{file: values})
    with pytest.raises(UserError) as caught:
        papers.claims("toy")
        papers.preset("toy", "paper")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def says(found, words):
    return re.search(re.escape(words).replace(r"\.\*", ".*"), found)


@pytest.mark.parametrize(("path", "value", "words"), TABLE_FAULTS)
def test_a_fault_in_a_table_is_one_sentence_with_file_and_key(toy, path, value, words):
    found = fault(toy, "tables", [changed(TABLE, path, value)])
    assert "toy/tables.yaml: " in found and says(found, words), found


@pytest.mark.parametrize(("path", "value", "words"), FIGURE_FAULTS)
def test_a_drawing_has_the_keys_of_its_kind_and_no_others(toy, path, value, words):
    found = fault(toy, "figures", [changed(FIGURE, path, value)])
    assert "toy/figures.yaml: " in found and says(found, words), found


@pytest.mark.parametrize(("key", "value", "words"), [case for case in CLAIM_FAULTS if case[2]])
def test_a_predicate_that_no_table_can_fill_is_refused_when_it_is_read(toy, key, value, words):
    found = fault(toy, "claims", [{**CLAIM, "predicates": [{**PREDICATE, key: value}]}])
    assert "toy/claims.yaml: " in found and says(found, words), found


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kind": "share", "at_most": 2}, "expected a threshold that a share can have; found 2"),
        ({"kind": "ratio", "at_most": -1}, "expected a threshold that a ratio can have; found -1"),
        ({"kind": "monotone", "along": "T"}, "predicates.0.along: expected one of dataset, seed; found 'T'"),
        ({"kind": "order", "of": ["deep"]}, "predicates.0.of: expected at least 2 entry"),
        ({"kind": "order", "of": ["deep", "plian"]}, "method: expected one of .*did you mean 'plain'"),
        ({"kind": "equivalence"}, "expected margin, or margin_share and margin_of"),
        ({"kind": "equivalence", "margin": 1, "control": "deep"}, "expected a control other than the method"),
        ({"kind": "equivalence", "margin": 1, "control": "depe"}, "method: expected one of .*did you mean 'deep'"),
        ({"kind": "named", "function": "nearst", "reference": "plain", "others": ["plain"]}, "did you mean 'nearest'"),
    ],
)
def test_each_kind_of_predicate_asks_for_what_it_needs(toy, more, words):
    predicate = {key: value for key, value in {**PREDICATE, **more}.items() if key != "at_most" or "at_most" in more}
    if more["kind"] == "order":
        predicate.pop("method")
    assert says(found := fault(toy, "claims", [{**CLAIM, "predicates": [predicate]}]), words), found


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("metrics", changed(METRICS, "loss/labl", "x"), "metrics.yaml: loss.labl: expected one of"),
        (
            "metrics",
            "loss: {label: a}\nloss: {label: b}\n",
            "metrics.yaml: expected YAML; found: the key 'loss' stands twice",
        ),
        ("labels", {"metods": {}}, "labels.yaml: metods: expected one of methods, quantities"),
        ("tables", [TABLE, TABLE], "tables.yaml: expected each id once; found table-1 twice"),
        ("claims", [CLAIM, CLAIM], "claims.yaml: expected each id once; found toy-01 twice"),
        ("claims", [{**CLAIM, "needs": [{"device": "cuda", "dataset": "x"}]}], "needs.0: expected one of device"),
        ("methods", {"presets": {"paper": {"options": {}}}}, "methods.yaml: presets.paper.source: expected a value"),
        ("methods", {"methods": {"plain": "sequential"}}, "methods.yaml: methods.plain: expected a section with keys"),
        ("paper", changed(content()["paper.yaml"], "id", "tyo"), "paper.yaml: id: expected the folder's name"),
        ("tables", "- id: [", "tables.yaml: expected YAML; found: "),
    ],
)
def test_a_fault_in_another_file_is_named_too(toy, file, values, words):
    assert says(found := fault(toy, file, values), words), found


def test_every_kind_of_drawing_can_be_drawn_and_no_other():
    from typing import get_args

    from deqbench.report import figures

    kinds = {
        kind
        for form in get_args(get_args(drawings.Drawing)[0])
        for kind in get_args(form.model_fields["kind"].annotation)
    }
    assert kinds == set(figures.KINDS)


def test_every_statistic_and_named_function_is_known_where_it_is_computed():
    from typing import get_args

    from deqbench.papers import predicates, spec
    from deqbench.report import losses, measured, verdicts

    assert set(measured.VALUES) == set(get_args(spec.Statistic))
    assert set(measured.COMPARED) == set(spec.COMPARED)
    assert set(verdicts.NAMED) == set(get_args(predicates.Named.model_fields["function"].annotation))
    assert set(losses.REDUCED) == set(get_args(get_args(spec.Spec.model_fields["reduce"].annotation)[0]))


def test_reading_a_paper_loads_neither_torch_nor_pandas():
    code = "import sys; from deqbench import papers; papers.claims('jiio'); print({'torch', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
