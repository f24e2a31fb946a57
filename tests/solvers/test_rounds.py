"""The driver of rounds against counts made by hand."""

import pytest
import torch

from deqbench.solvers import rounds
from deqbench.solvers.rounds import Round, Run, Stop

SETTLES = (2, 5, 3)  # the round in which each of three samples meets its tolerance; the last one is lost in it


def method(closed=None, start=False):
    """Samples leave one by one; each round takes two calls and as many evaluations as its number."""
    try:
        if start:
            yield Round(nfe=0)
        for k in range(1, 6):
            active = torch.tensor([i for i in range(3) if k <= SETTLES[i]])
            ends = torch.tensor([k == SETTLES[i] for i in active.tolist()])
            yield Round(samples=active, settled=ends & (active != 2), lost=ends & (active == 2), nfe=k, calls=2)
    finally:
        if closed is not None:
            closed.append(True)


@pytest.mark.parametrize("start", [False, True])
def test_rounds_evaluations_and_reasons_are_those_of_each_sample(start):
    run = Run(method(start=start), 3, from_start=start).to_end()
    assert run.rounds.tolist() == [4, 10, 6]
    assert run.nfe.tolist() == [1 + 2, 1 + 2 + 3 + 4 + 5, 1 + 2 + 3]
    assert run.stopped() == (Stop.CONVERGED, Stop.CONVERGED, Stop.DIVERGED)
    assert run.stopped(torch.tensor([True, False, True])) == (Stop.CONVERGED, Stop.DIVERGED, Stop.DIVERGED)


@pytest.mark.parametrize(("answer", "reason"), [(True, Stop.INTERRUPTED), (Stop.PLATEAU, Stop.PLATEAU)])
def test_a_callback_is_told_each_round_and_may_end_the_run(answer, reason):
    told, closed = [], []

    def on_round(reached):
        told.append((reached.number, reached.samples.tolist(), reached.nfe.tolist()))
        return answer if len(told) == 3 else None

    run = Run(method(closed), 3, on_round=on_round).to_end()
    assert told == [(2, [0, 1, 2], [1, 1, 1]), (4, [0, 1, 2], [2, 2, 2]), (6, [1, 2], [3, 3])]
    assert closed == [True]  # a method may hold something open
    assert run.stopped() == (Stop.CONVERGED, reason, Stop.DIVERGED)


def test_the_round_under_way_when_the_time_is_over_is_the_last(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: float(next(now)))
    run = Run(method(), 3, max_seconds=2.5).to_end()
    assert run.rounds.tolist() == [4, 6, 6]
    assert run.stopped() == (Stop.CONVERGED, Stop.MAX_SECONDS, Stop.DIVERGED)


def test_a_quiet_round_is_counted_and_not_told():
    told = []
    made = [Round(nfe=2), Round(calls=0, nfe=7, settled=True, quiet=True)]
    run = Run(made, 1, on_round=lambda reached: told.append(reached.number)).to_end()
    assert (told, run.rounds.tolist(), run.nfe.tolist()) == ([1], [1], [9])
    assert run.stopped() == (Stop.CONVERGED,)


def test_a_method_that_ends_unsettled_had_all_its_rounds():
    assert Run([Round(), Round()], 2).to_end().stopped() == (Stop.MAX_ITER, Stop.MAX_ITER)


def test_every_reason_is_its_word_and_has_a_sentence():
    for reason in Stop:
        assert f"{reason}" == reason == reason.value
        assert reason.sentence.endswith(".")
