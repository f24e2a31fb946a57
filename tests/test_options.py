"""A table of options is read from a signature; a value outside it is one sentence, from wherever it comes."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from annotated_types import Ge, Interval
from pydantic import Field

from deqbench.bounds import Count, Share
from deqbench.errors import UserError
from deqbench.options import card, kinds, wrong

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (int, [{"type": "integer"}]),
        (bool | None, [{"type": "boolean"}, {"type": "null"}]),
        (Annotated[int, Ge(3)], [{"type": "integer", "minimum": 3}]),
        (Annotated[float, Interval(gt=0, lt=1)], [{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}]),
        (Annotated[float, Field(ge=0, le=2)], [{"type": "number", "minimum": 0, "maximum": 2}]),
        (
            Annotated[int | None, Interval(ge=1, le=9)],
            [{"type": "integer", "minimum": 1, "maximum": 9}, {"type": "null"}],
        ),
        (Literal["a", "b"] | None, [{"enum": ["a", "b"]}, {"type": "null"}]),
        (torch.Tensor, [{"type": "Tensor"}]),
        (Any, [{}]),
    ],
)
def test_each_member_of_a_type_is_one_kind_with_its_bounds(annotation, found):
    assert kinds(annotation) == found


def method(
    chain: object,
    *,
    rounds: Count = 3,
    window: Count | Share = 0.5,
    lr: Share | Annotated[torch.Tensor, Interval(gt=0)] = 0.1,
    order: Literal[1, 2] = 2,
    name: str = "x",
    rate: float = 1.0,
    keep: bool = False,
    on_round: object = None,
) -> None:
    """A method with an option of every type."""


CARD = card(method, ("on_round",), {}, None)


@pytest.mark.parametrize(
    "options",
    [
        {"rounds": 10**6, "window": 1.0, "order": 1, "keep": True},
        {"rounds": np.int64(2), "window": np.float32(0.5)},
        {"window": 7},
        {"lr": 1},
        {"lr": torch.tensor([0.1, 20.0])},
        {"name": "any word"},
        {},
    ],
)
def test_what_a_signature_allows_is_taken(options):
    assert wrong(options, CARD, None) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rounds": 0}, "rounds: expected an integer in [1, 1000000]; found 0"),
        ({"rounds": 2.0}, "rounds: expected an integer in [1, 1000000]; found 2.0"),
        ({"rounds": "3"}, 'rounds: expected an integer in [1, 1000000]; found "3"'),
        ({"rounds": True}, "rounds: expected an integer in [1, 1000000]; found true"),
        ({"rounds": None}, "rounds: expected an integer in [1, 1000000]; found null"),
        ({"rounds": np.int64(0)}, "rounds: expected an integer in [1, 1000000]; found 0"),
        ({"rounds": 10**400}, "rounds: expected an integer in [1, 1000000]; found 1000000000"),
        ({"window": 1.5}, "window: expected an integer in [1, 1000000] or a number in (0, 1]; found 1.5"),
        ({"window": 0}, "window: expected an integer in [1, 1000000] or a number in (0, 1]; found 0"),
        ({"window": NAN}, "window: expected an integer in [1, 1000000] or a number in (0, 1]; found NaN"),
        ({"lr": -INF}, "lr: expected a number in (0, 1] or a Tensor in (0, inf); found -Infinity"),
        ({"lr": torch.tensor([0.1, NAN])}, "lr: expected a number in (0, 1] or a Tensor in (0, inf); found "),
        ({"lr": torch.tensor([0.1, 0.0])}, "lr: expected a number in (0, 1] or a Tensor in (0, inf); found "),
        ({"rate": NAN}, "rate: expected a number; found NaN"),
        ({"rate": INF}, "rate: expected a number; found Infinity"),
        ({"order": 4}, "order: expected one of 1, 2; found 4"),
        ({"order": True}, "order: expected one of 1, 2; found true"),
        ({"name": 3}, "name: expected a word; found 3"),
        ({"keep": 1}, "keep: expected true or false; found 1"),
        (
            {"on_round": None},
            "on_round: expected one of keep, lr, name, order, rate, rounds, window; found an unknown option",
        ),
        (
            {"ruonds": 3},
            "ruonds: expected one of keep, lr, name, order, rate, rounds, window; found an unknown option"
            " (did you mean 'rounds'?)",
        ),
    ],
)
def test_what_it_does_not_allow_is_one_sentence(options, sentence):
    assert wrong(options, CARD, None).startswith(sentence)


def test_an_option_without_a_default_must_be_given():
    def needing(chain: object, *, rate: float) -> None: ...

    assert wrong({}, card(needing, (), {}, None), None) == "rate: expected a number; found none"


@dataclass(frozen=True, kw_only=True)
class Inner:
    """What gets the options that `outer` does not name."""

    m: Count = 5
    rounds: bool = True


def outer(chain: object, *, solver: str = "inner", rounds: Count = 3, **solver_options: Any) -> None:
    """A method that hands options on."""


def find(folder, name):
    if (folder, name) != ("solvers", "inner"):
        raise UserError(f"solver: expected one of inner; found '{name}'")
    return card(Inner, (), {}, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"m": 3, "rounds": 2}, None),
        ({"solver": 3}, "solver: expected a word; found 3"),
        ({"m": 0}, "m: expected an integer in [1, 1000000]; found 0"),
        ({"rounds": True}, "rounds: expected an integer in [1, 1000000]; found true"),  # the outer one's, as it gets it
        ({"solver": "iner"}, "solver: expected one of inner; found 'iner'"),
        ({"n": 3}, "n: expected one of m, rounds, solver; found an unknown option"),
    ],
)
def test_options_that_are_handed_on_are_those_of_the_method_that_is_named(options, sentence):
    assert wrong(options, card(outer, (), {"solver": "solvers"}, None), find) == sentence


def test_options_handed_to_nobody_known_are_let_through():
    assert wrong({"anything": 3}, card(outer, (), {}, None), None) is None
    assert wrong({"rounds": 0}, card(outer, (), {}, None), None) is not None
