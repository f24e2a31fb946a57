"""The paper's sections fit together, or one sentence says which key of which file does not."""

import pytest

from deqbench import scale
from deqbench.experiments.deq_ddim.chains import at_each
from tests.test_scale import PAPER, ROOT, changed, sentence_about

SHOWN = {"T": 20, "every": 5}
OPTIONS = "papers/deq-ddim/methods/deq-ddim-3-steps/options"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"max_itre": 3}, "max_itre: expected one of beta, "),
        ({"max_itre": 3}, "; found an unknown option (did you mean 'max_iter'?)"),
        ({"rigde": 0.1}, "; found an unknown option (did you mean 'ridge'?)"),
        ({"damping": 0.5}, "damping: expected one of beta, "),  # Picard's, and the preset takes Anderson
        ({"max_iter": "3"}, 'max_iter: expected an integer in [1, 1000000]; found "3"'),
        ({"max_iter": True}, "max_iter: expected an integer in [1, 1000000]; found true"),
        ({"max_iter": 0}, "max_iter: expected an integer in [1, 1000000]; found 0"),
        ({"tol": float("nan")}, "tol: expected a number in [0, 1e+18]; found NaN"),
        ({"beta": 1.5}, "beta: expected a number in (0, 1]; found 1.5"),  # Anderson's
        ({"tol": "1e-3"}, 'tol: expected a number in [0, 1e+18]; found "1e-3"'),
        (
            {"mixing": "timestpe"},
            "; found \"timestpe\" (did you mean 'timestep'?)",
        ),
        ({"start": "zeroes"}, "start: expected one of x_T, zeros, gaussian; found \"zeroes\" (did you mean 'zeros'?)"),
        ({"on_round": None}, "on_round: expected one of beta, "),
    ],
)
def test_an_option_that_the_method_would_refuse_is_refused_before_anything_runs(value, words):
    found = sentence_about(changed(OPTIONS, value))
    assert found.startswith(f"some.yaml: {OPTIONS.replace('/', '.')}.") and words in found


def test_the_options_of_a_solver_are_those_of_the_one_that_is_named():
    scale.validate(changed("papers/deq-ddim/methods/deq-ddim-picard/options", {"solver": "picard", "damping": 0.5}), "")
    found = sentence_about(changed("papers/deq-ddim/methods/deq-ddim-picard/options", {"solver": "picard", "m": 3}))
    assert "options.m: expected one of damping, max_iter, " in found


def test_a_preset_of_another_sampler_is_refused_by_the_preset_s_option():
    found = sentence_about(
        changed("papers/deq-ddim/methods/deq-ddim-paper", {"sampler": "windowed", "preset": "paper"})
    )
    assert found.startswith("some.yaml: papers.deq-ddim.methods.deq-ddim-paper.preset paper.")
    assert ": expected one of " in found and "found an unknown option" in found


def test_a_data_set_scores_all_methods_unless_it_names_some_and_the_baseline_is_among_them():
    place = "papers/deq-ddim/table-1/scores/digits/methods"
    table = scale.load(ROOT / "smoke.yaml").papers.deq_ddim.table_1
    assert table.scored("digits") == table.methods
    few = scale.validate(changed(place, ["ddim", "deq-ddim-paper"]), "").papers.deq_ddim.table_1
    assert few.scored("digits") == ["ddim", "deq-ddim-paper"]
    assert sentence_about(changed(place, ["deq-ddim-paper"])).startswith(
        f"some.yaml: {PAPER}.baseline: expected one of deq-ddim-paper; found 'ddim'"
    )


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("table-2/eta", {}, "table-2.eta.digits: expected a list of eta; found none"),
        ("table-2/eta/digits", [0.5], "table-2.eta.digits: expected 1 among them, for ddpm-large; found [0.5]"),
        ("table-2/eta/digits", [1.5], "table-2.eta.digits.0: expected a number less than or equal to 1; found 1.5"),
        ("table-2/methods", ["ddim", "deq-sdim-paper"], "(did you mean 'deq-sddim-paper'?)"),
        ("table-2/scores/digts", {"T": 5, "images": 40}, "(did you mean 'digits'?)"),
        ("figure-11/methods", ["deq-sdim-paper"], "(did you mean 'deq-sddim-paper'?)"),
        ("figure-1/datasets/digits/also/picrad", {"runs": {5: 2}, "rounds": 5}, "figure-1.datasets.digits.also: "),
        ("figure-12/datasets/digts", 10, "(did you mean 'digits'?)"),
        ("figure-18/method", "deq-ddim-papre", "(did you mean 'deq-ddim-paper'?)"),
    ],
)
def test_what_does_not_fit_in_a_stochastic_experiment_is_refused_with_its_key(place, value, sentence):
    found = sentence_about(changed(f"papers/deq-ddim/{place}", value))
    assert found.startswith(f"some.yaml: {PAPER}.{place.split('/')[0]}.") and sentence in found


@pytest.mark.parametrize(
    ("method", "key"),
    [("ddpm-large", "methods.ddpm-large.eta"), ("deq-sddim-paper", "table-2.methods.deq-sddim-paper")],
)
def test_a_sampler_is_refused_what_it_cannot_do_with_the_reason(method, key):
    values = changed(f"papers/deq-ddim/methods/{method}", {"sampler": "heun", "eta": float(method == "ddpm-large")})
    words = "expected no eta > 0, since its steps add no noise; found it asked for"
    assert sentence_about(values) == f"some.yaml: {PAPER}.{key}: {words}"


def test_every_method_is_walked_at_each_eta_but_one_with_its_own_at_that_only():
    known = scale.load(ROOT / "smoke.yaml").papers.deq_ddim.methods
    methods = {name: known[name] for name in ("ddpm-large", "ddim")}
    found = at_each(methods, [0.2, 1])
    assert [{name: method.eta for name, method in walked.items()} for walked in found] == [
        {"ddim": 0.2},
        {"ddpm-large": 1, "ddim": 1},
    ]
    assert at_each(methods, []) == [methods]


def test_one_chain_and_a_list_of_one_show_the_same_latents():
    place = "papers/deq-ddim/figure-2/datasets/digits"
    one, listed = (scale.validate(changed(place, v), "") for v in (SHOWN, [SHOWN]))
    assert one == listed
