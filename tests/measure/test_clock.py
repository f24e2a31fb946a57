"""Readings of a clock that ticks once each time it is asked."""

import itertools

import pytest

from deqbench.measure import clock


@pytest.fixture(autouse=True)
def ticks(monkeypatch):
    counted = itertools.count()
    monkeypatch.setattr("deqbench.measure.clock.time.perf_counter", lambda: float(next(counted)))


def test_a_stopwatch_notes_what_it_is_told_with_the_seconds_since_it_was_made():
    watch = clock.Stopwatch("cpu", lambda word: word.upper())
    watch("first")
    watch("second")
    assert watch.told == [(1.0, "FIRST"), (2.0, "SECOND")] and watch.seconds() == 3.0


def test_runs_take_turns_and_the_first_turn_warms_up():
    ran = []
    spent = clock.in_turns({name: lambda name=name: ran.append(name) for name in "ab"}, 2)
    assert "".join(ran) == "ababab" and spent == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
