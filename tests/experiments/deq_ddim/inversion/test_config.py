"""The inversion sections are right, or one sentence says what is wrong with them; a job knows its own slice only."""

import pytest

from deqbench import scale
from deqbench.errors import UserError
from deqbench.experiments.deq_ddim.inversion.job import race, run, time
from deqbench.papers import preset
from tests.experiments.deq_ddim import smoke

KEY = "papers.deq-ddim"


def inversions(paper):
    paper["inverters"] = {
        "algorithm-1": {"inverter": "descent"},
        "deq": {"inverter": "descent", "preset": "inversion-paper", "options": {"tau": 0.5}},
        "encoding": {"inverter": "encoding"},
        "encoded": {"inverter": "descent", "start": "encoding"},
    }
    for name in ("figure-8", "figure-17", "ablations", "inversion-memory"):
        paper.pop(name, None)
    paper["table-3"] = {
        "inverters": ["algorithm-1", "deq", "encoding", "encoded"],
        "baseline_encoded": "encoded",
        "rates": [0.01, 0.2],
        "datasets": {"digits": {10: chains(limits={"deq": {"rates": 0.2, "epochs": 2}}), 20: chains(epochs=7)}},
    }


def with_inversions(*changes):
    return lambda paper: [change(paper) for change in (inversions, *changes)]


def scope(*changes):
    return smoke.scope("table-3", with_inversions(*changes))


def chains(**entries):
    return {"images": 4, "tuning": 1, "epochs": 5, "timed": 2, **entries}


def at_10(**entries):
    return lambda paper: paper["table-3"]["datasets"]["digits"][10].update(entries)


def inverter(**entries):
    return lambda paper: paper["inverters"]["deq"].update(entries)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (inverter(inverter="decent"), f"{KEY}.inverters.deq.inverter: expected one of "),
        (inverter(preset="inversion-papr"), f"{KEY}.inverters.deq.preset: expected one of "),
        (inverter(options={"tau": "1"}), f'{KEY}.inverters.deq.options.tau: expected a number in (0, 1]; found "1"'),
        (inverter(options={"tua": 1.0}), f"{KEY}.inverters.deq.options.tua: expected one of "),
        (inverter(options={"lr": 1.0}), f"{KEY}.inverters.deq.options.lr: expected it as rates of an experiment"),
        (inverter(start="target"), f"{KEY}.inverters.deq.start: expected one of noise, encoding; found "),
        (
            lambda paper: paper["table-3"]["inverters"].append("sweep"),
            f"{KEY}.table-3.inverters: expected one of algorithm-1, algorithm-1-encoded, backward-euler, deq, ",
        ),
        (
            lambda paper: paper["table-3"]["datasets"].update(digit={10: chains()}),
            f"{KEY}.table-3.datasets: expected one of digits, ",
        ),
        (
            at_10(inverters=["deq"]),
            f"{KEY}.table-3.baseline: expected one of deq; found 'algorithm-1'",
        ),
        (
            at_10(inverters=["algorithm-1", "encoding"]),
            f"{KEY}.table-3.datasets.digits.10.limits: expected one of algorithm-1, encoding; found 'deq'",
        ),
        (
            at_10(tuning=0),
            f"{KEY}.table-3.datasets.digits.10.tuning: expected images to choose among 2 rates on; found 0",
        ),
        (at_10(timed=5), f"{KEY}.table-3: expected timed of digits at T 10 to be at most 4; found 5"),
        (at_10(epochs=[3, 4]), f"{KEY}.table-3: expected epochs of digits at T 10 to be one number, or one an eta"),
        (at_10(epoch=3), "found an unknown key (did you mean 'epochs'?)"),
        (
            lambda paper: paper["table-3"].update(baseline_encoded="encode"),
            f"{KEY}.table-3.baseline_encoded: expected one of ",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(change, sentence):
    with pytest.raises(UserError) as caught:
        scale.validate(smoke.values(with_inversions(change)), "some.yaml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("some.yaml: papers.deq-ddim.")


def test_a_method_has_its_own_rates_and_updates_where_limits_say_so():
    job = run(scope(), "digits", "10")
    assert job.rates == {"algorithm-1": [0.01, 0.2], "deq": [0.2], "encoding": [], "encoded": [0.01, 0.2]}
    assert job.epochs == {"algorithm-1": [5], "deq": [2], "encoding": [5], "encoded": [5]}


def test_updates_may_depend_on_eta():
    def change(paper):
        paper["table-3"]["eta"] = [0, 0.5]
        at_10(epochs=[3, 4])(paper)

    found = scope(change)
    assert run(found, "digits", "10").epochs["algorithm-1"] == [3, 4]
    assert run(found, "digits", "10").epochs["deq"] == [2, 2]
    assert run(found, "digits", "20").epochs["deq"] == [7, 7]


def test_a_run_knows_nothing_of_the_clock_and_of_other_lengths():
    def longer(paper):
        paper["table-3"]["datasets"]["digits"][20]["epochs"] = 50

    one, two = scope(), scope(at_10(timed=1, raced=3, timed_epochs=9), longer)
    assert run(one, "digits", "10") == run(two, "digits", "10")
    assert run(one, "digits", "20") != run(two, "digits", "20")
    assert time(one) != time(two)


def test_the_clock_knows_nothing_of_rates_and_budgets():
    one, two = time(scope()), time(scope(at_10(epochs=9, tuning=3, record_every=2)))
    assert one == two
    assert {T: share.raced for T, share in one.chains["digits"].items()} == {10: 2, 20: 2}


def test_jobs_survive_the_command_line():
    found = scope()
    for job in (run(found, "digits", "10"), time(found), race(found)):
        assert smoke.told(job) == job
    assert race(found).encoded == ["encoded"]
    assert race(found).descents == ["algorithm-1", "deq", "encoded"]


def test_a_job_holds_a_preset_s_numbers_with_the_method_s_own_over_them():
    deq = run(scope(), "digits", "10").inverters["deq"]
    assert deq.preset is None
    assert deq.options == {**preset("deq-ddim", "inversion-paper"), "tau": 0.5}


def test_a_config_may_do_without():
    found = scope(lambda paper: paper.pop("table-3"))
    with pytest.raises(UserError, match=r"papers\.deq-ddim\.table-3: expected a section; found none"):
        run(found, "digits", "10")
