"""Patches of photographs: which pixels each split sees, and that nothing is fetched for them."""

import itertools

import numpy as np
import pytest
import torch

from deqbench.data import datasets, patches


@pytest.fixture(scope="module")
def built() -> datasets.Dataset:
    return datasets.build("patches")


def test_patches_are_64_pixels_of_three_colours_between_minus_one_and_one(built):
    for split in datasets.SPLITS:
        images = getattr(built, split)
        assert images.shape[1:] == (3, 64, 64) and images.dtype == torch.float32
        assert images.min() >= -1 and images.max() <= 1 and len(images) >= 64
    assert built.symmetric and 1500 <= len(built.train) <= 3000


def test_a_label_is_the_number_of_the_picture_and_every_picture_is_in_every_split(built):
    for labels, images in ((built.train_labels, built.train), (built.test_labels, built.test)):
        assert labels.dtype == torch.int64 and labels.shape == (len(images),)
        assert labels.unique().tolist() == list(range(len(patches.PICTURES)))
    for split in ("tuning", "test"):
        assert len(getattr(built, split)) >= 7 * len(patches.PICTURES)


@pytest.mark.parametrize("name", patches.PICTURES)
def test_the_regions_of_a_picture_are_apart_by_a_patch_and_within_it(name):
    width = patches.picture(name).shape[2]
    regions = sorted(patches.columns(width).values())
    assert regions[0][0] == 0 and regions[-1][1] == width
    assert all(right - left >= patches.SIZE for left, right in regions)
    assert all(after[0] - before[1] >= patches.SIZE for before, after in itertools.pairwise(regions))


@pytest.mark.parametrize("split", datasets.SPLITS)
def test_a_split_shows_only_the_columns_of_its_own_region(monkeypatch, split):
    """A picture whose red channel tells the column, within each patch, too."""
    width = 451
    ramp = torch.linspace(-1, 1, width).expand(3, 70, width)
    monkeypatch.setattr(patches, "PICTURES", ("ramp", "ramp"))
    monkeypatch.setattr(patches, "picture", lambda name: ramp)
    images = getattr(datasets.build("patches"), split)
    seen = ((images[:, 0].unique() + 1) / 2 * (width - 1)).round()
    left, right = patches.columns(width)[split]
    assert seen.min() == left and seen.max() <= right - 1 and len(images) % 2 == 0


def test_a_patch_is_the_pixels_of_the_picture_s_file(built):
    from skimage import io
    from skimage.data import __file__ as package

    whole = io.imread(f"{package.rsplit('/', 1)[0]}/coffee.png").astype(np.float32) / 127.5 - 1
    first = built.train[built.train_labels == patches.PICTURES.index("coffee")][0]
    assert np.array_equal(first.permute(1, 2, 0).numpy(), whole[:64, :64])


def test_a_large_picture_is_halved_by_the_means_of_its_squares(built):
    from skimage.data import hubble_deep_field

    whole = hubble_deep_field()[:128, -128:].astype(np.float64)
    means = whole.reshape(64, 2, 64, 2, 3).mean((1, 3)) / 127.5 - 1
    test = built.test[built.test_labels == patches.PICTURES.index("hubble_deep_field")]
    assert np.abs(test.permute(0, 2, 3, 1).numpy() - means).max((1, 2, 3)).min() < 1e-6


def test_black_borders_are_left_out():
    region = torch.full((3, 64, 192), -1.0)
    region[:, :, 150:] = 1
    found = patches.patches(region, 64)
    assert len(found) == 1 and found.max() == 1 and found.min() == -1
    assert len(patches.patches(torch.full((3, 64, 64), -1.0), 64)) == 0


def test_every_build_gives_the_same_patches_in_the_same_order_and_without_a_network(built, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network here")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    again = datasets.build("patches")
    assert all(torch.equal(getattr(again, split), getattr(built, split)) for split in datasets.SPLITS)
    assert torch.equal(again.train_labels, built.train_labels) and torch.equal(again.test_labels, built.test_labels)
