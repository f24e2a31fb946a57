"""Data sets: splits fixed once and disjoint, images in [-1, 1], and files that are whole or refused."""

import hashlib
import itertools
import pickle
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

from deqbench.data import datasets
from deqbench.errors import UserError


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def each_row_its_number(monkeypatch) -> None:
    """Puts a picture in the tissue's place whose value at half size is the number of the row."""
    import skimage.data

    rows = np.repeat(np.arange(256.0), 2)[:, None, None]
    monkeypatch.setattr(skimage.data, "immunohistochemistry", lambda: np.broadcast_to(rows, (512, 512, 3)))


def rows_of(images) -> set[int]:
    return set(((images + 1) * 127.5).round().int().unique().tolist())


def test_the_splits_of_digits_have_the_agreed_sizes_and_share_the_classes_evenly(digits):
    assert [len(getattr(digits, split)) for split in datasets.SPLITS] == [1257, 180, 360]
    assert digits.shape == (1, 8, 8) and not digits.symmetric
    assert digits.train_labels.bincount().min() >= 120 and digits.test_labels.bincount().min() >= 34


def test_the_splits_of_digits_are_a_partition_of_all_digits(digits):
    from sklearn.datasets import load_digits

    ours = torch.cat([getattr(digits, split) for split in datasets.SPLITS]).flatten(1)
    theirs = torch.from_numpy(load_digits().data).float() / 8 - 1
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


@pytest.mark.parametrize("name", ["digits", "tissue"])
def test_splits_are_the_same_on_every_call_and_every_machine(name):
    once, again = datasets.build(name), datasets.build(name)
    for split in datasets.SPLITS:
        assert torch.equal(getattr(once, split), getattr(again, split))
    images = torch.cat([getattr(once, split) for split in datasets.SPLITS])
    levels = ((images + 1) * 127.5).round().byte().numpy()
    assert hashlib.sha256(levels).hexdigest()[:16] == {"digits": "af3b17ec52f0c53f", "tissue": "ff4d34e930d6caf0"}[name]


@pytest.mark.parametrize("name", ["digits", "tissue"])
def test_images_are_float32_and_fill_the_range_from_minus_one_to_one(name):
    found = datasets.build(name)
    for split in datasets.SPLITS:
        images = getattr(found, split)
        assert images.dtype == torch.float32 and images.min() >= -1 and images.max() <= 1
        assert images.min() < -0.5 and images.max() > 0.5


def test_patches_of_tissue_come_from_disjoint_regions_with_a_gap_of_one_patch(monkeypatch):
    each_row_its_number(monkeypatch)
    found = datasets.tissue()
    assert found.shape == (3, 16, 16) and found.symmetric
    rows = {split: rows_of(getattr(found, split)) for split in datasets.SPLITS}
    for split, seen in rows.items():
        assert seen == set(range(min(seen), max(seen) + 1)), split
    ordered = sorted(rows.values(), key=min)
    for above, below in itertools.pairwise(ordered):
        assert min(below) - max(above) - 1 >= datasets.TISSUE_SIZE


def test_patches_of_tissue_are_every_second_one_of_their_region():
    found = datasets.tissue()
    assert [len(getattr(found, split)) for split in datasets.SPLITS] == [65 * 121, 9 * 121, 17 * 121]
    assert torch.equal(found.train[0][:, :, 2:], found.train[1][:, :, :-2])
    assert torch.equal(found.train[0][:, 2:], found.train[121][:, :-2])


def test_the_eight_symmetries_are_those_of_numpy():
    images = torch.randn(8, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    found = datasets.dihedral(images, torch.arange(8))
    for k in range(8):
        turned = np.rot90(images[k].numpy(), k % 4, axes=(1, 2))
        expected = np.flip(turned, 2) if k >= 4 else turned
        assert np.array_equal(found[k].numpy(), expected)


def test_all_symmetries_of_an_image_without_any_are_eight_different_ones():
    images = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    copies = datasets.all_symmetries(images).view(8, 3, -1)
    assert torch.equal(copies[0], images.flatten(1))
    assert len({tuple(copy) for copy in copies[:, 1].tolist()}) == 8


def pictures(folder, count: int, size=(20, 12)) -> None:
    """Pictures of one grey level each, darker to the left and right of their middle square."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
        margin = (size[0] - size[1]) // 2
        pixels[:, margin : size[0] - margin] = 100 + k
        Image.fromarray(pixels).save(folder / f"{k:02}.png")


def test_a_folder_gives_its_pictures_in_the_order_of_their_names_cropped_to_the_middle_square(tmp_path):
    pictures(tmp_path / "b", 10)
    pictures(tmp_path / "a" / "deeper", 10)
    found = datasets.build("folder", root=str(tmp_path), size=6)
    assert [len(getattr(found, split)) for split in datasets.SPLITS] == [16, 2, 2] and found.shape == (3, 6, 6)
    images = torch.cat([found.train, found.tuning, found.test])
    levels = ((images + 1) * 127.5).round().flatten(1)
    assert (levels == levels[:, :1]).all()
    assert levels[:, 0].tolist() == 2 * list(range(100, 110))


def test_too_few_pictures_are_refused_with_the_folder_and_their_number(tmp_path):
    pictures(tmp_path, 9)
    with pytest.raises(UserError, match=r"expected a folder with at least 10 pictures .*; found 9$") as caught:
        datasets.build("folder", root=str(tmp_path), size=6)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    with pytest.raises(UserError, match=r"found 0$"):
        datasets.build("folder", root=str(tmp_path / "none"), size=6)


def test_a_picture_that_cannot_be_read_is_refused_by_name(tmp_path):
    pictures(tmp_path, 10)
    for content in (b"no picture", (tmp_path / "05.png").read_bytes()[:60]):
        (tmp_path / "03.png").write_bytes(content)
        with pytest.raises(UserError) as caught:
            datasets.build("folder", root=str(tmp_path), size=6)
        assert str(caught.value).startswith(f"{tmp_path / '03.png'}: expected a picture; found: ")


@pytest.fixture
def offline(monkeypatch):
    """No byte leaves this machine: whatever asks for an address fails as without a network."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def test_cifar10_that_is_neither_there_nor_to_be_had_is_one_sentence(tmp_path, offline):
    with pytest.raises(UserError) as caught:
        datasets.build("cifar10", root=str(tmp_path / "none"))
    assert str(caught.value).startswith(
        f"{tmp_path / 'none'}: expected CIFAR-10 or a connection to download it; found: "
    )


def test_cifar10_keeps_its_last_5000_training_images_for_tuning(tmp_path, offline, monkeypatch):
    from torchvision.datasets import CIFAR10

    parts = [(f"data_batch_{k}", 1002) for k in range(1, 6)] + [("test_batch", 7)]
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    pixels = {name: np.full((n, 3, 32, 32), 10 * k, np.uint8) for k, (name, n) in enumerate(parts)}
    pixels["test_batch"][:, 0] = 255  # the red channel comes first
    for name, n in parts:
        (folder / name).write_bytes(pickle.dumps({"data": pixels[name].reshape(n, -1), "labels": [0] * n}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["aeroplane"]}))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, None] for name, _ in parts[:-1]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": None})

    found = datasets.build("cifar10", root=str(tmp_path))
    assert [len(getattr(found, split)) for split in datasets.SPLITS] == [10, 5000, 7] and found.shape == (3, 32, 32)
    assert (found.train == -1).all() and found.tuning.unique().numel() == 5
    assert found.tuning[-1].unique().tolist() == pytest.approx([40 / 127.5 - 1])
    assert (found.test[:, 0] == 1).all() and found.test[:, 1:].unique().tolist() == pytest.approx([50 / 127.5 - 1])


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("digts", {}, "dataset source: expected one of cifar10, csv, .*; found 'digts' \\(did you mean 'digits'\\?\\)"),
        ("folder", {"root": "x"}, "dataset source folder: size: expected a value; found none"),
        ("folder", {"root": "x", "size": 0}, "dataset source folder: size: expected a number greater .* 1; found 0"),
        ("digits", {"root": "x"}, "dataset source digits: root: expected one of source; found an unknown key"),
    ],
)
def test_an_unknown_source_or_option_is_one_sentence(source, options, words):
    with pytest.raises(UserError, match=f"^{words}$"):
        datasets.build(source, **options)
