"""A stored data set comes back as what it was, and a file that is none is refused by name."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from deqbench import provenance
from deqbench.data import datasets
from deqbench.errors import UserError
from tests.command_line import run

FINITE = "expected finite float32 rows (N, ...)"
OTHERS = {
    "table": {"source": "table", "name": "wine"},
    "density": {"source": "density", "name": "moons", "train": 20, "tuning": 5, "test": 7},
    "tasks": {"source": "tasks", "of": "digits"},
}


@pytest.fixture(scope="module")
def digits() -> datasets.Dataset:
    return datasets.digits()


def test_a_saved_data_set_comes_back_to_half_a_level_and_digits_with_their_17_levels(digits, tmp_path):
    datasets.save(digits, tmp_path / "digits.safetensors")
    back = datasets.load(tmp_path / "digits.safetensors")
    for split in datasets.SPLITS:
        ours, theirs = getattr(digits, split), getattr(back, split)
        assert theirs.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.5 / 127.5 + 1e-6)
        assert torch.equal(((theirs + 1) * 8).round(), (ours + 1) * 8)
    assert len(back.train.unique()) == 17 and back.train.min() == -1 and back.train.max() == 1
    assert torch.equal(back.train_labels, digits.train_labels) and torch.equal(back.test_labels, digits.test_labels)


def test_a_data_set_without_labels_stays_without_them_and_symmetric(tmp_path):
    images = torch.linspace(-1, 1, 5 * 3 * 4 * 4).view(5, 3, 4, 4)
    datasets.save(datasets.Dataset(images, images, images, symmetric=True), tmp_path / "x.safetensors")
    back = datasets.load(tmp_path / "x.safetensors")
    assert back.symmetric is True and back.train_labels is None and back.test_labels is None


def test_values_beyond_the_range_are_clipped_and_do_not_wrap_around(tmp_path):
    images = torch.tensor([-1.2, 1.2]).view(2, 1, 1, 1)
    datasets.save(datasets.Dataset(images, images, images, symmetric=False), tmp_path / "x.safetensors")
    assert datasets.load(tmp_path / "x.safetensors").train.flatten().tolist() == [-1, 1]


def whole(**changes):
    tensors = {split: torch.zeros(3, 1, 4, 4, dtype=torch.uint8) for split in datasets.SPLITS}
    tensors["symmetric"] = torch.tensor(False)
    return {name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None}


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("tuning", torch.zeros(0, 1, 4, 4).byte(), "expected images in the split 'tuning'; found none"),
        ("test", None, "expected images in the split 'test'; found none"),
        ("train", torch.ones(3, 4).byte(), "train: expected uint8 images (N, C, H, W); found torch.uint8 (3, 4)"),
        (
            "train",
            torch.ones(3, 1, 4, 4),
            "train: expected uint8 images (N, C, H, W); found torch.float32 (3, 1, 4, 4)",
        ),
        ("symmetric", None, "expected the entry 'symmetric'; found none"),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path, name, tensor, words):
    save_file(whole(**{name: tensor}), tmp_path / "x.safetensors")
    with pytest.raises(UserError) as caught:
        datasets.load(tmp_path / "x.safetensors")
    assert str(caught.value) == f"{tmp_path / 'x.safetensors'}: {words}"


@pytest.mark.parametrize("length", [None, 0, 7, 100, -1])
def test_a_file_that_is_missing_or_cut_short_is_refused_by_name(tmp_path, length):
    path = tmp_path / "x.safetensors"
    if length is not None:
        save_file(whole(), path)
        path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError) as caught:
        datasets.load(path)
    assert str(caught.value).startswith(f"{path}: expected a data set in safetensors; found: ")
    assert "\n" not in str(caught.value)


def test_what_safetensors_holds_is_bytes_of_images_and_labels_only(digits, tmp_path):
    datasets.save(digits, tmp_path / "x.safetensors")
    kinds = {name: tensor.dtype for name, tensor in load_file(tmp_path / "x.safetensors").items()}
    assert kinds == dict.fromkeys(datasets.SPLITS, torch.uint8) | {
        "symmetric": torch.bool,
        "train_labels": torch.int64,
        "test_labels": torch.int64,
    }


@pytest.mark.parametrize("kind", OTHERS)
def test_a_data_set_of_another_kind_comes_back_to_the_bit_and_says_what_it_is(kind, tmp_path):
    built, path = datasets.build(**OTHERS[kind]), tmp_path / "x.safetensors"
    datasets.save(built, path)
    back = datasets.load(path, kind=None)
    for field in dataclasses.fields(built):
        one, other = getattr(built, field.name), getattr(back, field.name)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, field.name
    assert back.kind == kind and datasets.load(path, kind=kind).about == built.about
    with pytest.raises(UserError, match=f"x.safetensors: expected a data set of kind 'images'; found '{kind}'$"):
        datasets.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": torch.zeros(0, 2)}, "expected rows in the split 'train'; found none"),
        ({"test": torch.zeros(3)}, f"test: {FINITE}; found torch.float32 (3,)"),
        ({"test": torch.zeros(3, 2).double()}, f"test: {FINITE}; found torch.float64 (3, 2)"),
        ({"test": torch.full((3, 2), torch.nan)}, f"test: {FINITE}; found torch.float32 (3, 2)"),
        ({"tuning_labels": torch.zeros(2)}, "tuning_labels: expected one for each of 3; found (2,)"),
    ],
)
def test_a_table_of_another_form_is_refused_by_name(tmp_path, changes, words):
    tensors = {split: torch.ones(3, 2) for split in datasets.SPLITS} | {"symmetric": torch.tensor(False)} | changes
    save_file(tensors, tmp_path / "x.safetensors", metadata={"kind": "table", "about": "{}"})
    with pytest.raises(UserError) as caught:
        datasets.load(tmp_path / "x.safetensors", kind="table")
    assert str(caught.value).startswith(f"{tmp_path / 'x.safetensors'}: {words}")


def test_the_parts_of_a_data_set_are_its_rows_with_the_labels_that_there_are(digits):
    parts = digits.parts()
    assert [len(parts[split]) for split in datasets.SPLITS] == [2, 1, 2]
    assert parts["test"][1] is digits.test_labels and parts["tuning"][0] is digits.tuning


def test_a_file_without_metadata_holds_images(tmp_path):
    save_file(whole(), tmp_path / "x.safetensors")
    assert datasets.load(tmp_path / "x.safetensors").kind == "images"


@pytest.mark.parametrize("kind", OTHERS)
def test_the_command_builds_every_kind_and_its_provenance_says_which(kind, tmp_path):
    source, options = OTHERS[kind]["source"], {key: value for key, value in OTHERS[kind].items() if key != "source"}
    out, job = tmp_path / "x.safetensors", json.dumps({"dataset": "mine", "source": source, "options": options})
    ran = run("run", "inputs.dataset", "--settings", job, "--output", f"images={out}")
    assert ran.code == 0, ran.err
    built, facts = datasets.load(out, kind=kind), json.loads(provenance.sidecar(out).read_text())
    assert facts["kind"] == kind and facts["settings"]["dataset"] == "mine"
    assert facts["rows"] == {split: len(getattr(built, split)) for split in datasets.SPLITS}


def test_the_command_refuses_an_option_out_of_bounds_in_one_sentence(tmp_path):
    job = json.dumps({"dataset": "mine", "source": "density", "options": {"name": "moons", "noise": 0}})
    ran = run("run", "inputs.dataset", "--settings", job, "--output", f"images={tmp_path / 'x.safetensors'}")
    assert ran.sentence == "dataset source density: noise: expected a number greater than or equal to 0.01; found 0"
    assert list(tmp_path.iterdir()) == []
