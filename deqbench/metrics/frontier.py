"""The Pareto frontier of cost and error."""

import numpy as np
from numpy.typing import NDArray


def frontier(cost: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether no other point has at most this cost and at most this error, and less of one of them."""
    order = np.lexsort((error, cost))
    best = np.minimum.accumulate(error[order])
    before = np.concatenate(([np.inf], best[:-1]))
    kept = np.zeros(len(cost), dtype=bool)
    kept[order] = error[order] < before
    twins = {(cost[i], error[i]) for i in np.flatnonzero(kept)}
    return np.array([(c, e) in twins for c, e in zip(cost, error, strict=True)], dtype=bool)
