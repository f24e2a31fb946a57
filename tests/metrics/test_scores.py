"""Images that diverged are scored as zeros, and every score that they touch says so."""

import numpy as np
import pandas as pd
import pytest
import torch

from deqbench.metrics import frechet, scores

N, LOST = 40, [3, 11, 12]
COMPARED = {"frechet_difference", "x0_error"}
SCORED = {"frechet", "kid", "nearest_train", "pixel_mean", "pixel_std"} | COMPARED


def gaussian(seed: int, n: int = N) -> torch.Tensor:
    return torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed)) / 3


def drawn(x0: torch.Tensor, diverged=()) -> scores.Images:
    flags = torch.tensor([i in diverged for i in range(len(x0))])
    counts = torch.full((len(x0),), 10)
    return {"x0": x0, "rounds": counts, "nfe": counts, "diverged": flags}


@pytest.fixture(scope="module")
def reference() -> scores.Reference:
    """Images are their own features."""
    train = gaussian(0, 200).flatten(1).double().numpy()
    return scores.Reference(lambda x: x.flatten(1), train, frechet.moments(train), train, False, gaussian(1))


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_training_image_that_was_turned_is_near_only_where_training_turned_them_too(symmetric):
    train = gaussian(0, 200).numpy()
    flat = train.reshape(200, -1).astype(np.float64)
    reference = scores.Reference(lambda x: x, flat, frechet.moments(flat), flat, symmetric, gaussian(1))
    turned = np.stack([np.rot90(train[7], 1, (1, 2)), train[11, :, :, ::-1], train[3]])
    near = reference.nearest(torch.from_numpy(turned.copy()))
    by_hand = [min(np.sqrt(((image - other) ** 2).mean()) for other in train) for image in turned]
    np.testing.assert_allclose(near, [0.0] * 3 if symmetric else by_hand, atol=1e-7)
    assert min(by_hand[:2]) > 0.01


def table(reference: scores.Reference, method: scores.Images, base: scores.Images) -> pd.DataFrame:
    """One row a method and metric."""
    images = {"ddim": base, "deq-ddim-paper": method}
    rows = scores.table(images, reference, baseline="ddim", same=images, seed=7)
    return pd.DataFrame(rows).set_index(["method", "metric"]).sort_index()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_an_image_with_one_pixel_that_is_no_number_is_scored_as_zeros(reference, bad):
    x0 = gaussian(2)
    broken, zeros = x0.clone(), x0.clone()
    broken[LOST, 0, 1, 0], zeros[LOST] = bad, 0.0
    base = drawn(gaussian(3))
    found, expected = table(reference, drawn(broken), base), table(reference, drawn(zeros), base)
    numbers = ["value", "low", "high"]
    same = [metric != "diverged" for _, metric in found.index]
    pd.testing.assert_frame_equal(found.loc[same, numbers], expected.loc[same, numbers])
    mine = found.loc["deq-ddim-paper"]
    assert np.isfinite(mine["value"]).all()
    assert mine.loc["diverged", ["value", "n"]].tolist() == [3 / N, N]
    assert expected.loc[("deq-ddim-paper", "diverged"), "value"] == 0


def test_an_image_that_the_sampler_gave_up_is_lost_even_where_its_pixels_are_finite(reference):
    x0, base = gaussian(2), drawn(gaussian(3))
    zeros = x0.index_fill(0, torch.tensor(LOST), 0.0)
    found, expected = table(reference, drawn(x0, LOST), base), table(reference, drawn(zeros), base)
    assert found.loc[("deq-ddim-paper", "frechet"), "value"] == expected.loc[("deq-ddim-paper", "frechet"), "value"]
    assert found.loc[("deq-ddim-paper", "diverged"), "value"] == 3 / N


def test_every_score_of_a_method_that_lost_images_says_how_many_and_no_other_does(reference):
    found = table(reference, drawn(gaussian(2), LOST), drawn(gaussian(3)))["note"].fillna("")
    noted = found[found != ""]
    assert set(noted) == {"3 of 40 images diverged, replaced by zeros"}
    assert {method for method, _ in noted.index} == {"deq-ddim-paper"}
    assert {metric for _, metric in noted.index} == SCORED


def test_what_is_compared_with_a_baseline_that_lost_images_says_so_too(reference):
    found = table(reference, drawn(gaussian(2), [0]), drawn(gaussian(3), LOST))["note"].fillna("")
    both = "1 of 40 images diverged, replaced by zeros; 3 of 40 images of the baseline diverged, replaced by zeros"
    assert set(found.loc["deq-ddim-paper"][sorted(COMPARED)]) == {both}
    assert found.loc[("deq-ddim-paper", "frechet")] == "1 of 40 images diverged, replaced by zeros"
    assert found.loc[("ddim", "frechet")] == "3 of 40 images diverged, replaced by zeros"


def test_nothing_is_noted_where_every_image_is_finite(reference):
    found = table(reference, drawn(gaussian(2)), drawn(gaussian(3)))
    assert set(found["note"].fillna("")) == {""}
    assert (found.xs("diverged", level="metric")["value"] == 0).all()
