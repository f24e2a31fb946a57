"""The comparison's section is right, or one sentence says what is wrong with it."""

import pytest
import yaml

from deqbench import papers, scale
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.comparison.config import MIXTURES
from deqbench.experiments.deq_ddim.comparison.job import measure, time
from tests.experiments.deq_ddim.smoke import FILE, scope, told, values

SCALES = sorted(path.stem for path in FILE.parent.glob("*.yaml") if path.name != "zoo.yaml")
KEY = "papers.deq-ddim.comparison"


def with_section(change):
    return lambda paper: change(paper, paper["comparison"])


def changed(change):
    return scope("comparison", with_section(change))


def images(section, **entries):
    section["problems"]["digits"] |= entries


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda paper, s: s["methods"].update(secnt={}), f"{KEY}.methods: expected one of "),
        (
            lambda paper, s: s["methods"].pop("ddim"),
            f"{KEY}.methods: expected one of deq-ddim-picard, secant; found 'ddim'",
        ),
        (
            lambda paper, s: s["methods"].update({"ddpm-large": {}}),
            f"{KEY}.methods.ddpm-large: expected a method of eta 0",
        ),
        (lambda paper, s: s["problems"].update(mixture=images_of(5)), f"{KEY}.problems: expected one of "),
        (
            lambda paper, s: s["methods"]["secant"]["candidates"].append({"node": 3}),
            f"{KEY}.methods.secant.candidates.2.node: expected one of ",
        ),
        (
            lambda paper, s: s["methods"]["deq-ddim-picard"].update(oracle={"max_iter": "9"}),
            f'{KEY}.methods.deq-ddim-picard.oracle.max_iter: expected an integer in [1, 1000000]; found "9"',
        ),
        (lambda paper, s: images(s, images={}), f"{KEY}.problems.digits.images: expected at least 1 entry; found {{}}"),
        (lambda paper, s: images(s, timed={9: 1}), f"{KEY}: expected T of digits's images (10); found 9"),
        (
            lambda paper, s: images(s, calibration={}),
            f"{KEY}: expected calibration images of digits at T 10, as secant has candidates; found none",
        ),
        (lambda paper, s: images(s, only={9: ["ddim"]}), f"{KEY}: expected T of digits's images (10); found 9"),
        (
            lambda paper, s: images(s, only={10: ["ddim", "heun"]}),
            f"{KEY}: expected methods compared (ddim, deq-ddim-picard, secant) in digits's only; found heun at T 10",
        ),
        (lambda paper, s: images(s, image={10: 1}), "found an unknown key (did you mean 'images'?)"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(change, sentence):
    with pytest.raises(UserError) as caught:
        scale.validate(values(with_section(change)), "some.yaml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("some.yaml: papers.deq-ddim.comparison")


def test_a_problem_may_compare_fewer_methods_at_a_T():
    def change(paper, section):
        sizes = {10: 2, 20: 2}
        images(section, images=sizes, calibration=sizes, timed=sizes, only={10: ["secant", "ddim"]})

    found = changed(change)
    methods = list(found.section.methods)
    assert list(measure(found, "digits", "10").methods) == ["ddim", "secant"]  # in the order of the methods
    assert list(measure(found, "digits", "20").methods) == methods
    assert time(found).compared["digits"] == {10: ["ddim", "secant"], 20: methods}


def test_a_config_may_do_without():
    found = changed(lambda paper, s: paper.pop("comparison"))
    with pytest.raises(UserError, match=r"papers\.deq-ddim\.comparison: expected a section; found none"):
        measure(found, "digits", "10")


def test_a_job_of_one_chain_knows_nothing_of_the_others():
    sizes = [
        {"images": {10: 2, 20: 3}, "calibration": {10: 2, 20: 4}},
        {"images": {10: 9, 20: 3}, "calibration": {10: 1, 20: 4}, "timed": {10: 9}},
    ]
    one, two = (measure(changed(lambda paper, s, size=size: images(s, **size)), "digits", "20") for size in sizes)
    assert one == two
    assert (one.T, one.images, one.calibration, one.grid) == (20, 3, 4, "uniform-released")
    assert told(one) == one


def test_an_analytic_problem_needs_no_data_set():
    found = changed(lambda paper, s: s["problems"].update({MIXTURES[0]: images_of(10)}))
    assert measure(found, MIXTURES[0], "10").dataset == MIXTURES[0]
    clock = time(found)
    assert clock.images == {"digits": {10: 2}, MIXTURES[0]: {10: 1}}
    assert told(clock) == clock


def images_of(T):
    return {"images": {T: 1}, "timed": {T: 1}, "calibration": {T: 1}}


@pytest.mark.parametrize("name", SCALES)
def test_every_method_compared_has_a_label_and_every_tuned_one_as_many_candidates(name):
    paper = yaml.safe_load(FILE.with_name(f"{name}.yaml").read_text(encoding="utf-8"))["papers"]["deq-ddim"]
    if "comparison" not in paper:
        return
    methods = paper["comparison"]["methods"]
    spec = papers.exhibit("deq-ddim/comparison").spec
    assert methods.keys() <= spec.labels.keys()
    assert {*spec.drawing.ours, *spec.drawing.rivals} <= spec.labels.keys()
    counts = {len(compared.get("candidates", [])) for compared in methods.values()} - {0}
    assert len(counts) <= 1


def test_every_metric_of_the_study_has_a_tolerance():
    assert all(metric.tolerance for metric in papers.exhibit("deq-ddim/comparison").spec.metrics)


def test_studies_are_no_exhibits_of_the_paper():
    assert papers.studies("jiio") == ()
    ids = {found.id for found in papers.exhibits("deq-ddim")}
    assert ids.isdisjoint(found.id for found in papers.studies("deq-ddim"))
    with pytest.raises(UserError, match="paper: expected one of"):
        papers.studies("jio")
