"""The contract of every family's methods, whose options one table checks for Python, jobs and configs alike."""

import math
from dataclasses import replace

import pytest

from deqbench import index, registry
from deqbench.bounds import Share
from deqbench.errors import UserError
from deqbench.options import LIMITS
from deqbench.registry import Family, hold
from deqbench.solvers.picard import Picard

FAMILIES = registry.families()
METHODS = [(family, name) for family in FAMILIES for name in family.own()]
EVERY = pytest.mark.parametrize(("family", "name"), METHODS, ids=[f"{f.folder}/{n}" for f, n in METHODS])
NUMBERS = ("integer", "number")


def beyond(kind):
    """Numbers of a kind's type outside its bounds."""
    step = {"integer": 1, "number": 1.0}[kind["type"]]
    low, above, high, below = (kind.get(limit) for limit in LIMITS.values())
    yield above if low is None else low - step
    yield below if high is None else high + step
    yield from (math.nan, math.inf, -math.inf)


def test_the_families_are_those_of_the_folders():
    assert {(family.kind, family.folder) for family in FAMILIES} == {
        ("solver", "solvers"),
        ("sampler", "diffusion/samplers"),
        ("inverter", "diffusion/inverters"),
        ("gradient", "diffusion/gradients"),
        ("inverter", "decoder_inversion/inverters"),
    }


@EVERY
def test_every_option_has_a_type_and_finite_bounds_and_a_default_within(family, name):
    card = family.method(name).card
    for option, known in card.options.items():
        assert all(kind for kind in known["anyOf"]), f"{option}: expected a type"
        for kind in known["anyOf"]:
            if kind.get("type") in NUMBERS:
                bounds = [kind[limit] for limit in LIMITS.values() if limit in kind]
                assert len(bounds) == 2 and all(map(math.isfinite, bounds)), f"{option}: expected two finite bounds"
            assert kind.get("type") != "string" or option in card.hands, f"{option}: expected choices"
    defaults = {option: known["default"] for option, known in card.options.items()}
    assert family.method(name).wrong(defaults) is None


@EVERY
def test_a_number_out_of_range_gets_the_same_sentence_in_python_and_in_a_config(family, name):
    for option, known in family.method(name).card.options.items():
        numeric = [kind for kind in known["anyOf"] if kind.get("type") in NUMBERS]
        for value in [value for kind in numeric for value in beyond(kind)]:
            if any(registry.table._fits(kind, value) for kind in numeric):
                continue  # in the bounds of the other of two kinds
            wrong = index.wrong(family.folder, name, {option: value})
            assert wrong.startswith(f"{option}: expected ")
            with pytest.raises(UserError) as caught:
                family.call(name, {option: value})
            assert str(caught.value) == f"{family.kind} {name}: {wrong}"


@EVERY
def test_what_is_given_is_no_option(family, name):
    assert not set(family.given) & set(family.method(name).card.options)


@EVERY
def test_what_a_method_cannot_do_is_something_it_may_be_asked_for(family, name):
    known = {*family.asks, "result of the chain itself", "clip_sample"}
    card = family.method(name).card
    assert set(card.cannot) <= known
    assert all(reason and not reason.endswith(".") for reason in (*card.cannot.values(), *card.needs.values()))


def test_the_table_of_methods_holds_each_with_its_reasons():
    rows = {(row["kind"], row["method"]): row for row in index.methods()}
    assert len(index.methods()) == len(METHODS)
    assert rows["sampler", "torchdeq"]["needs"] == {"torchdeq": "its solvers are that library's own"}
    assert rows["sampler", "torchdeq"]["missing"] == {}
    assert rows["sampler", "heun"]["cannot"]["eta > 0"] == "its steps add no noise"


def made(*, share: Share = 0.5) -> float:
    """A method of a family that a test makes."""
    return share


NEEDS = {"no_such_package": "its solvers are that library's own"}
CANNOT = {"more": "it has no more"}
FAMILY = Family("maker", "made", "solvers", asks={"more": lambda more=False: more})
THIS = f"{__name__}:made"


def test_a_method_from_outside_is_named_by_its_module_and_function(monkeypatch):
    monkeypatch.setitem(globals(), "NEEDS", {})
    registry._card.cache_clear()
    assert FAMILY.call(THIS, {"share": 0.25}) == 0.25
    with pytest.raises(UserError, match=r"share: expected a number in \(0, 1\]; found 2.0"):
        FAMILY.call(THIS, {"share": 2.0})
    with pytest.raises(UserError, match=f"maker {THIS}: expected no more, since it has no more; found it asked for"):
        FAMILY.call(THIS, {}, more=True)
    registry._card.cache_clear()


def test_a_method_of_another_package_is_known_by_its_entry_point(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda folder: {"theirs": "deqbench.solvers.picard:Picard"})
    monkeypatch.setattr(index, "write_text", lambda path, text: None)
    assert "theirs" in replace(FAMILY, attribute="SOLVER").names()
    assert FAMILY.call("theirs", {"damping": 0.5}) == Picard(damping=0.5)
    assert index.card("solvers", "theirs") == index.card("solvers", "picard")


def test_a_method_whose_package_is_not_there_says_what_to_install():
    with pytest.raises(UserError, match=r"the package no_such_package \(pip install no_such_package\), since its"):
        FAMILY.call(THIS, {})


def counting(*, share: Share = 0.5):
    """A method that yields its rounds, the second of which fails."""
    yield share
    raise ValueError("rounds: expected one; found two")


def test_what_a_round_refuses_is_told_with_the_method_s_name(monkeypatch):
    monkeypatch.setitem(globals(), "NEEDS", {})
    registry._card.cache_clear()
    rounds = FAMILY.call(f"{__name__}:counting", {"share": 0.25})
    assert next(rounds) == 0.25
    with pytest.raises(UserError, match=f"maker {__name__}:counting: rounds: expected one; found two"):
        next(rounds)
    registry._card.cache_clear()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("andersen", "did you mean 'anderson'"),
        ("../anderson", "expected one of anderson, broyden, picard; found '../anderson'"),
        ("local_slopes", "expected one of"),
        ("no_such_module:made", "found 'no_such_module:made' .No module named"),
        (f"{__name__}:maid", "has no attribute 'maid'"),
    ],
)
def test_an_unknown_method_is_one_sentence(name, words):
    with pytest.raises(UserError, match=words):
        registry.family("solvers").method(name)


def test_settings_made_by_hand_are_held_to_the_bounds_of_their_fields():
    hold(Picard(damping=0.5))
    with pytest.raises(ValueError, match=r"^damping: expected a number in \(0, 1\]; found 1.5$"):
        Picard(damping=1.5)
