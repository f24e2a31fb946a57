"""References of sections to other parts of the config: each is looked up, with its own key."""

from typing import Any

import pytest

from deqbench import scale
from deqbench.errors import UserError
from deqbench.experiments import named
from deqbench.experiments.scope import Scope
from tests.experiments.deq_ddim.smoke import values

PAPER = "papers.deq-ddim"


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("cycles/digits/methods", ["dddim"], "cycles.digits.methods: expected one of "),
        ("cycles/digts", {"methods": ["ddim"], "runs": {5: 2}}, "cycles: expected one of digits, "),
        ("workers/digits/method", "dddim", "workers.digits.method: "),
        ("costs/digits/methods", ["ddim", "dddim"], "costs.digits.methods: "),
        ("inversion-memory/digits/inverters", ["algorithm-2"], "inversion-memory.digits.inverters: "),
        ("comparison/methods/dddim", {}, "comparison.methods: "),
        ("figure-2/also", [{"method": "dddim", "rounds": 3}], "figure-2.also.method: "),
    ],
)
def test_a_name_that_nothing_has_is_refused_with_its_key(place: str, value: Any, key: str) -> None:
    *outer, last = place.split("/")

    def change(paper: dict[str, Any]) -> None:
        for part in outer:
            paper = paper[part]
        paper[last] = value

    with pytest.raises(UserError) as refused:
        scale.validate(values(change), "some.yaml")
    assert str(refused.value).startswith(f"some.yaml: {PAPER}.{key}") and "found " in str(refused.value)


def test_a_default_is_a_reference_too() -> None:
    """The watermark's encoder, where nothing is told."""
    config = scale.load("config/smoke.yaml")
    told = dict(named._references("", Scope(config, "decoder-inversion", "watermark").section))
    assert told[".encoder"] == "encoder" and told[".encoder"].part == "inverters"
