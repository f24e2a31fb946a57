"""The smallest loss within so many seconds, against a count by hand."""

import inversions
import numpy as np
import pandas as pd
import pytest

from deqbench.report import race


def test_the_loss_within_some_seconds_is_the_smallest_so_far():
    rng = np.random.default_rng(5)
    rows = pd.DataFrame(
        {"dataset": "digits", "T": 10, "method": "m", "image": image, "seconds": second, "value": rng.lognormal()}
        for image in range(5)
        for second in [0.0, *np.sort(rng.uniform(0.1, 3 + image, 7))]
    )
    found = race.within(rows.sample(frac=1, random_state=0))
    assert len(found) == race.POINTS and set(found["n"]) == {5}
    for point in found.itertuples():
        lows = [
            part.loc[part["seconds"] <= point.seconds * (1 + 1e-9), "value"].min() for _, part in rows.groupby("image")
        ]
        assert (point.median, point.low, point.high) == pytest.approx((np.median(lows), min(lows), max(lows)))


def test_noise_in_the_chain_is_left_out_of_the_race():
    rows = pd.concat([inversions.race_traces().assign(eta=0.0), inversions.race_traces().assign(eta=1.0, value=1e-9)])
    pd.testing.assert_frame_equal(race.within(rows), race.within(inversions.race_traces()))
