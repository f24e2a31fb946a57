"""Rounds of solves by where they start and when they end."""

import pytest
import torch

from deqbench.experiments.deq_score_matching.phantom.iterations import Known, Watched
from deqbench.solvers.deq import differentiated
from tests.experiments.deq_score_matching.phantom.small import ITERATIONS, net, rows


def counted(watched: Watched, x, numbers, asked=ITERATIONS) -> dict[tuple[str, str], float]:
    return {(row["method"], row["metric"]): row["value"] for row in watched.rounds(x, numbers, asked)}


@pytest.fixture
def watched() -> Watched:
    model = net()
    return Watched(model, model, count=len(rows()))


def test_from_zeros_the_rounds_are_the_layer_s_own(watched):
    x = rows()[:10]
    found = counted(watched, x, torch.arange(10))
    with differentiated(watched.net, tol=0.0, atol=1e-6, max_iter=64):
        watched.net(x)
    rounds = watched.net.block.last.rounds.double()
    assert found["cold-absolute", "iterations"] == float(rounds.max()) > 5
    assert found["cold-absolute", "iterations_row"] == pytest.approx(float(rounds.mean()))
    assert found["cold-absolute", "unconverged"] == 0
    assert found["cold-relative", "iterations"] < found["cold-absolute", "iterations"]


def test_while_nothing_is_known_every_start_is_cold(watched):
    found = counted(watched, rows()[:10], torch.arange(10))
    assert len({found[f"{start}-absolute", "iterations"] for start in ITERATIONS.starts}) == 1


def test_a_row_that_comes_back_to_the_same_weights_is_at_its_solution(watched):
    x, numbers = rows()[:10], torch.arange(10)
    watched.net(x)
    watched.learn(numbers)
    found = counted(watched, x, numbers)
    assert found["cache-absolute", "iterations"] <= 2 and found["previous-absolute", "iterations"] <= 2
    assert found["mean-absolute", "iterations"] > 2
    turned = counted(watched, x.flip(0), numbers.flip(0))
    assert turned["cache-absolute", "iterations"] <= 2 < turned["previous-absolute", "iterations"]


def test_a_solve_that_is_cut_short_counts_all_its_rounds_and_its_rows(watched):
    asked = ITERATIONS.model_copy(update={"max_iter": 2})
    found = counted(watched, rows()[:10], torch.arange(10), asked)
    assert found["cold-absolute", "iterations"] == found["cold-absolute", "iterations_row"] == 2
    assert found["cold-absolute", "unconverged"] == 1


def test_starts_are_what_their_names_say():
    known, like = Known(axis=0), torch.zeros(3, 2)
    state = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    known.learn(state, torch.tensor([4, 0, 2]), count=6)
    rows_ = torch.tensor([0, 1, 4])
    assert torch.equal(known.start("cold", like, rows_), like)
    assert torch.equal(known.start("previous", like, rows_), state)
    assert torch.equal(known.start("mean", like, rows_)[:, 0], torch.full((3,), 3.0))
    assert known.start("cache", like, rows_)[:, 0].tolist() == [3.0, 3.0, 1.0]  # row 1 was never seen: the mean
    assert torch.equal(known.start("previous", like[:2], rows_[:2]), like[:2])  # a batch of another size


def test_states_of_groups_are_kept_by_row():
    known = Known(axis=1)
    known.learn(torch.arange(12.0).view(2, 3, 2), torch.tensor([5, 1, 0]), count=7)
    found = known.start("cache", torch.zeros(2, 2, 2), torch.tensor([1, 5]))
    assert torch.equal(found, torch.arange(12.0).view(2, 3, 2)[:, [1, 0]])
