"""A training as a stage: three files, the same to the bit however often it was killed."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from deqbench import provenance
from deqbench.errors import UserError
from deqbench.records import read_frame
from tests.training import quadratic

ROOT = Path(__file__).parents[2]
PROGRESS = ".weights.safetensors.progress.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """What a run leaves that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    quadratic.run(folder)
    return folder


def killed(folder: Path, step: int) -> None:
    """Starts the training in a process that gets SIGKILL at that step."""
    command = [sys.executable, "-m", "tests.training.quadratic", str(folder), str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """What is left of a run that was killed at its 17th update."""
    folder = tmp_path_factory.mktemp("stopped")
    killed(folder, 17)
    assert [path.name for path in folder.iterdir()] == [PROGRESS]
    return folder


@pytest.fixture
def left(stopped, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(stopped, tmp_path / "left")


def steps_of(folder: Path, **changes) -> list[int]:
    """Runs the training to its end; the updates that it makes."""
    steps: list[int] = []
    quadratic.run(folder, lambda step, value: steps.append(step), **changes)
    return steps


def same(folder: Path, other: Path) -> bool:
    files = ("weights.safetensors", "history.parquet")
    return all((folder / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_a_training_that_was_killed_for_good_ends_with_the_same_weights_and_history(left, whole):
    assert steps_of(left) == list(range(16, 41))
    assert same(left, whole)
    assert sorted(path.name for path in left.iterdir()) == sorted(quadratic.OUTPUTS.values())


def test_so_does_one_that_was_killed_again(left, whole):
    killed(left, 31)
    assert steps_of(left) == list(range(31, 41)) and same(left, whole)


@pytest.mark.parametrize("spoil", [b"", b"garbage", None])
def test_a_progress_file_that_cannot_be_read_starts_the_training_anew(left, whole, spoil):
    kept = left / PROGRESS
    kept.write_bytes(kept.read_bytes()[:-1] if spoil is None else spoil)
    assert steps_of(left)[0] == 1 and same(left, whole)


@pytest.mark.parametrize("change", [{"lr": 0.04}, {"seed": 4}, {"clip": None}])
def test_progress_of_other_settings_is_not_taken_up(left, change):
    assert steps_of(left, **change)[0] == 1


def test_progress_on_other_data_is_not_taken_up(left, monkeypatch):
    monkeypatch.setattr(quadratic, "rows", lambda count, seed, rows=quadratic.rows: rows(count, seed + 1))
    assert steps_of(left)[0] == 1


def test_progress_is_tensors_and_json_only(left):
    with safe_open(left / PROGRESS, "pt") as file:
        numbers = json.loads(file.metadata()["progress"])
    assert numbers["step"] == 15 and [row[0] for row in numbers["history"] if row[1] == "train"] == list(range(1, 16))


def test_the_card_has_checksum_splits_and_the_metrics_of_the_best_validation(whole):
    card, history = json.loads((whole / "card.json").read_text()), read_frame(whole / "history.parquet")
    assert card["sha256"] == {"weights.safetensors": provenance.sha256(whole / "weights.safetensors")}
    assert card["model"] == "sine" and card["splits"] == {"train": 64, "tuning": 20, "test": 20}
    assert card["settings"]["lr"] == 0.05 and card["stop"] == "all 40 updates made"
    values = history.set_index(["split", "metric", "step"]).value
    watched = values["tuning"]["moved"]
    assert card["step"] == watched.idxmin() == 4 and list(watched.index) == list(range(4, 41, 4))
    names = [("train", "loss"), *itertools.product(("tuning", "test"), ("moved", "loss"))]
    assert card["metrics"] == {f"{split}_{metric}": values[split][metric][4] for split, metric in names}


def test_the_weights_are_those_whose_loss_the_card_tells(whole):
    net, card = quadratic.net(), json.loads((whole / "card.json").read_text())
    net.load_state_dict(load_file(whole / "weights.safetensors"))
    x, y = quadratic.rows(20, 1)
    generator = torch.Generator().manual_seed(3 * 1_000_003 - 1)
    batches = zip(x.split(8), y.split(8), strict=True)
    losses = [quadratic.loss(net.eval(), batch, generator) * len(batch[0]) for batch in batches]
    assert float(sum(losses).detach()) / 20 == pytest.approx(card["metrics"]["tuning_loss"], rel=1e-6)


def test_a_loss_that_is_never_finite_is_one_sentence_and_leaves_no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(quadratic, "loss", lambda module, batch, generator: module(batch[0]).sum() * torch.nan)
    with pytest.raises(UserError, match=r"^train loss: expected a finite number; found nan at update 1$"):
        quadratic.run(tmp_path)
    assert list(tmp_path.iterdir()) == []
