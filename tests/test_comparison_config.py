"""The comparison's section is right, or one sentence says what is wrong with it."""

import copy
from pathlib import Path

import pytest
import yaml

from deqbench import cli, config, jobs, papers
from deqbench.config.comparison import MIXTURES
from deqbench.errors import UserError
from deqbench.trail import trail

ROOT = Path(__file__).parents[1]
SCALES = sorted(path.stem for path in (ROOT / "config").glob("*.yaml") if path.name != "zoo.yaml")
KEY = "papers.deq-ddim.comparison"


def changed(change):
    values = yaml.safe_load((ROOT / "config/smoke.yaml").read_text(encoding="utf-8"))
    change(values["papers"]["deq-ddim"], values["papers"]["deq-ddim"]["comparison"])
    return values


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
            f'{KEY}.methods.deq-ddim-picard.oracle.max_iter: expected a valid integer; found "9"',
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
        config.validate(changed(change), "some.yaml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("some.yaml: papers.deq-ddim.comparison")


def test_a_problem_may_compare_fewer_methods_at_a_T():
    def change(paper, section):
        sizes = {10: 2, 20: 2}
        images(section, images=sizes, calibration=sizes, timed=sizes, only={10: ["secant", "ddim"]})

    found = config.validate(changed(change), "")
    methods = list(found.papers.deq_ddim.comparison.methods)
    job = jobs.compare(found, "digits", "10")
    assert list(job.methods) == list(job.compared) == ["ddim", "secant"]  # in the order of the methods
    assert list(jobs.compare(found, "digits", "20").compared) == methods
    assert jobs.time_compared(found).compared["digits"] == {10: ["ddim", "secant"], 20: methods}


def test_a_config_may_do_without():
    values = changed(lambda paper, s: paper.pop("comparison"))
    found = config.validate(values, "")
    assert found.papers.deq_ddim.comparison is None
    with pytest.raises(UserError, match=r"papers\.deq-ddim\.comparison: expected a section; found none"):
        jobs.compare(found, "digits", 10)


def test_a_job_of_one_chain_knows_nothing_of_the_others():
    values = changed(lambda paper, s: images(s, images={10: 2, 20: 3}, calibration={10: 2, 20: 4}))
    other = copy.deepcopy(values)
    images(other["papers"]["deq-ddim"]["comparison"], images={10: 9, 20: 3}, calibration={10: 1, 20: 4}, timed={10: 9})
    one, two = (jobs.compare(config.validate(found, ""), "digits", "20") for found in (values, other))
    assert one == two
    assert (one.T, one.images, one.calibration, one.grid) == (20, 3, 4, "uniform-released")
    assert config.parse_job(jobs.CompareJob, one.model_dump_json()) == one


def test_an_analytic_problem_needs_no_data_set():
    found = config.validate(changed(lambda paper, s: s["problems"].update({MIXTURES[0]: images_of(10)})), "")
    assert jobs.compare(found, MIXTURES[0], 10).dataset == MIXTURES[0]
    clock = jobs.time_compared(found)
    assert clock.images == {"digits": {10: 2}, MIXTURES[0]: {10: 1}}
    assert config.parse_job(jobs.TimeComparedJob, clock.model_dump_json()) == clock


def images_of(T):
    return {"images": {T: 1}, "timed": {T: 1}, "calibration": {T: 1}}


@pytest.mark.parametrize("scale", SCALES)
def test_every_method_compared_has_a_label_and_every_tuned_one_as_many_candidates(scale):
    paper = config.load(ROOT / f"config/{scale}.yaml").papers.deq_ddim
    if paper.comparison is None:
        return
    spec = papers.exhibit("deq-ddim/comparison").spec
    assert paper.comparison.methods.keys() <= spec["labels"].keys()
    assert {*spec["ours"], *spec["rivals"]} <= spec["labels"].keys()
    counts = {len(compared.candidates) for compared in paper.comparison.methods.values()} - {0}
    assert len(counts) <= 1


def test_the_study_leads_to_rules_commands_and_sources_that_exist():
    found = trail(papers.exhibit("deq-ddim/comparison"), config.load(ROOT / "config/demo.yaml"), root=ROOT)
    assert found.config_key == KEY
    assert {file for _, file in found.rules} == {"rules/comparison.smk"}
    assert {"deqbench comparison measure", "deqbench comparison time"} < set(found.commands)
    assert all((ROOT / path).exists() for path in found.sources)
    assert {command.split()[1] for command in found.commands} <= cli.COMMANDS.keys()


def test_every_metric_of_the_study_has_a_tolerance():
    assert all(metric["tolerance"] for metric in papers.exhibit("deq-ddim/comparison").spec["metrics"])


def test_studies_are_no_exhibits_of_the_paper():
    assert papers.studies("jiio") == ()
    ids = {found.id for found in papers.exhibits("deq-ddim")}
    assert ids.isdisjoint(found.id for found in papers.studies("deq-ddim"))
    with pytest.raises(UserError, match="paper: expected one of"):
        papers.studies("jio")
