"""Rows made ready: by what train alone tells, the same at each call, with what was done told."""

import pytest
import torch

from deqbench.data import datasets
from deqbench.data.preparing import gaps, prepared, whitening

ALL = {"dequantise": 1.0, "whiten": True, "noise": 0.05}
NONE = {"dequantise": 0.0, "whiten": False, "noise": 0.0}


@pytest.fixture(scope="module")
def wine():
    return datasets.build("table", name="wine", tuning=0.2)


def test_train_is_white_and_the_other_splits_are_not_looked_at(wine):
    made = prepared(wine, **{**ALL, "noise": 0.0}, seed=1)
    torch.testing.assert_close(
        torch.cov(made.train.double().T, correction=0), torch.eye(13).double(), atol=1e-5, rtol=0
    )
    far = prepared(wine.__class__(**{**wine.__dict__, "test": wine.test + 100}), **ALL, seed=1)
    assert torch.equal(far.train, prepared(wine, **ALL, seed=1).train)


def test_whitening_is_the_same_affine_map_for_every_row():
    rows = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    white = whitening(rows)
    torch.testing.assert_close(white((rows[0] + rows[1]) / 2), (white(rows)[0] + white(rows)[1]) / 2)
    with pytest.raises(ValueError, match="depend"):
        whitening(torch.cat([rows, rows[:, :1]], 1))


def test_dequantised_values_stay_within_the_reach(wine):
    made = prepared(wine, **{**NONE, "dequantise": 0.5}, seed=0)
    away = (made.test - wine.test).abs() / gaps(wine.train.double()).float()
    assert 0.45 < float(away.max()) <= 0.5 + 1e-4 and float((made.test != wine.test).float().mean()) > 0.99


def test_gaps_are_medians_between_different_values():
    assert gaps(torch.tensor([[0.0], [0.0], [1.0], [1.0], [3.0], [9.0]])).tolist() == [2.0]


def test_nothing_asked_for_is_nothing_done_and_the_seed_is_the_draw(wine):
    assert torch.equal(prepared(wine, **NONE, seed=0).train, wine.train)
    one, again, other = (prepared(wine, **ALL, seed=seed) for seed in (2, 2, 3))
    assert torch.equal(one.test, again.test) and not torch.equal(one.test, other.test)
    assert one.about["noise"] == 0.05 and one.about["columns"] == wine.about["columns"]
