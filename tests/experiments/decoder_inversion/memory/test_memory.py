"""Bytes by size and kind of method, and frames of each kind that fit."""

import gc

import pytest
import torch

from deqbench.decoder_inversion.frames import iteration
from deqbench.experiments.decoder_inversion.memory.frames import frames
from deqbench.experiments.decoder_inversion.memory.kinds import KINDS, codec_for, pair
from deqbench.experiments.decoder_inversion.memory.measure import bytes_by_size, process_bytes
from tests.decoder_inversion import tiny


def test_measuring_bytes_leaves_the_collector_as_it_was():
    before = gc.get_freeze_count()
    list(bytes_by_size(tiny.vae(), [16], [], torch.Generator().manual_seed(0)))
    list(frames(tiny.vae(), 16, [1, 2], 3, 1 << 26, torch.Generator().manual_seed(0)))
    assert gc.get_freeze_count() == before


def test_half_precision_takes_half_the_bytes():
    rows = list(bytes_by_size(tiny.vae(), [16], [2], torch.Generator().manual_seed(0)))
    peak = {(row["method"], row["batch"]): row["value"] for row in rows if row["metric"] == "peak_bytes"}
    assert peak["free", 1] / peak["free-bf16", 1] == pytest.approx(2, rel=0.1)
    assert peak["free", 2] / peak["free", 1] == pytest.approx(2, rel=0.1)
    assert peak["gradient", 1] > 2 * peak["free", 1]
    assert peak["gradient-checkpointed", 1] < peak["gradient", 1]


def test_ratios_are_those_of_the_bytes_beside_them():
    found = {
        (row["method"], row["metric"]): row["value"]
        for row in bytes_by_size(tiny.vae(), [16], [], torch.Generator().manual_seed(0))
    }
    gradient, mine = found["gradient", "peak_bytes"], found["free-bf16", "peak_bytes"]
    assert found["free-bf16", "mixed_ratio"] == gradient / mine
    assert found["free-bf16", "mixed_saving"] == pytest.approx(1 - mine / gradient)
    assert found["free-bf16", "equal_ratio"] == found["gradient-bf16", "peak_bytes"] / mine
    weights = sum(p.numel() for p in tiny.vae().parameters())
    assert found["free", "with_weights"] - found["free", "peak_bytes"] == 4 * weights
    assert found["free-bf16", "with_weights"] - found["free-bf16", "peak_bytes"] == 2 * weights


@pytest.mark.parametrize("form", ["gradient-checkpointed", "gradient-tiled"])
def test_checkpointed_and_tiled_iterations_give_the_same_gradient(form):
    net = tiny.vae()
    x, z = pair(net, 16, 1, torch.Generator().manual_seed(0))
    plain = iteration(codec_for(net, KINDS["gradient"]), "gradient", x, z)
    torch.testing.assert_close(iteration(codec_for(net, KINDS[form]), "gradient", x, z), plain, rtol=1e-4, atol=1e-5)


def test_the_process_s_peak_grows_by_what_is_touched():
    found = process_bytes(lambda: torch.ones(16 << 20))  # 64 MiB
    if found is None:
        pytest.skip("the peak cannot be reset here")
    assert found == pytest.approx(64 << 20, rel=0.25)


def test_frames_are_predicted_where_bytes_are_linear():
    rows = list(frames(tiny.vae(), 16, [1, 2, 3], 7, 1 << 26, torch.Generator().manual_seed(0)))
    found = {(row["method"], row["metric"]): row["value"] for row in rows}
    assert found["free", "prediction"] == pytest.approx(1, abs=0.02)
    assert found["gradient", "frames_at_4"] == 4 < found["free", "frames_at_4"]
    assert found["gradient", "frames"] < found["gradient-bf16", "frames"] < found["free-bf16", "frames"]
