"""The Pareto frontier against a look at every pair."""

import numpy as np

from deqbench.metrics.frontier import frontier


def test_the_frontier_holds_what_nothing_else_beats():
    cost = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 1.0])
    error = np.array([5.0, 3.0, 4.0, 3.0, 1.0, 6.0])
    beaten = [any((cost <= c) & (error <= e) & ((cost < c) | (error < e))) for c, e in zip(cost, error, strict=True)]
    assert frontier(cost, error).tolist() == [not by_another for by_another in beaten]
