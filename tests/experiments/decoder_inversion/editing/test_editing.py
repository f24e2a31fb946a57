"""Edits inside a mask: what is kept exactly, what changes, and budgets of equal seconds."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from deqbench.decoder_inversion.edits import edited
from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.experiments.decoder_inversion.editing import measure
from deqbench.experiments.decoder_inversion.editing.job import EditJob
from deqbench.measure import clock
from tests.decoder_inversion import tiny

LABELS = torch.tensor([0, 1, 2])
OTHERS = torch.tensor([1, 2, 0])


@pytest.fixture
def states() -> list[torch.Tensor]:
    x_T = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    return MODEL.trajectory(x_T, LABELS)


MODEL = LatentModel(tiny.denoiser(), "diffusion", 1.0, 10)


def test_the_true_trajectory_keeps_the_background_exactly(states: list[torch.Tensor]) -> None:
    mask = measure.middle(8, 8)
    assert mask.sum() == 16 and mask[2:6, 2:6].all()
    z = edited(MODEL, states, OTHERS, mask)
    assert torch.equal(z[..., ~mask], states[-1][..., ~mask])
    assert (z[..., mask] - states[-1][..., mask]).abs().max() > 1e-3
    torch.testing.assert_close(edited(MODEL, states, LABELS, mask), states[-1])


def test_a_mask_over_all_is_a_new_image(states: list[torch.Tensor]) -> None:
    everywhere = torch.ones(8, 8, dtype=torch.bool)
    torch.testing.assert_close(edited(MODEL, states, OTHERS, everywhere), MODEL.latents(states[0], OTHERS))


def test_errors_look_at_the_background_alone() -> None:
    x, z, mask = torch.ones(2, 3, 16, 16), torch.ones(2, 4, 8, 8), measure.middle(8, 8)
    image, moved = x.clone(), z.clone()
    image[0, :, :4] += 0.1  # a quarter of the image, a third of the background
    image[1, :, 4:12, 4:12] += 5
    moved[0, :, 0, 0] += 2
    rows = pd.DataFrame(measure.errors(moved, z, z * 1.1, image, x, mask))
    found = rows.set_index(["metric", "image"])["value"]
    assert found["background_nmse_db", 0] == pytest.approx(-20 - 10 * math.log10(3), abs=1e-3)
    assert found["latent_background_nmse_db", 0] == pytest.approx(-10 * math.log10(12), abs=1e-3)
    assert found["nmse_db"].tolist() == pytest.approx([-20, -20], abs=1e-3)
    assert ("background_nmse_db", 1) not in found  # exactly 0


def test_equal_seconds_are_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0

    def inverted(method: str, x: object, iterations: int) -> None:
        nonlocal seconds
        seconds += {"gradient": 3.0, "free": 1.0, "slow": 100.0}[method] * iterations

    monkeypatch.setattr(measure, "inverted", inverted)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: seconds))
    methods = {name: name for name in ("gradient", "free", "slow")}
    found = measure.iterations_at_equal_seconds(methods, torch.zeros(1), "gradient", 20, 3)  # type: ignore[arg-type]
    assert found == {"gradient": 20, "free": 60, "slow": 1}


def test_a_run_has_the_oracles_and_every_method() -> None:
    job = EditJob.model_validate(
        {
            "paper": "decoder-inversion",
            "experiment": "editing",
            "seed": 0,
            "dataset": "latent",
            "model": {"autoencoder": "vae", "denoiser": "net", "targets": "diffusion", "steps": 10},
            "device": "cpu",
            "max_batch": 64,
            "edited": {
                "images": 4,
                "inverters": ["encoder", "free"],
                "iterations": 2,
                "baseline": "gradient",
                "inversion": {"iterations": 3},
                "timed": 1,
                "shown": 2,
            },
            "inverters": {
                "encoder": {"inverter": "encoder"},
                "free": {"inverter": "adam"},
                "gradient": {"inverter": "gradient"},
            },
        }
    )
    rows, pictures = measure.edits(tiny.vae(), MODEL, job, lambda done, total: None)
    records = pd.DataFrame(rows)
    methods = ["oracle", "oracle-z0", "encoder", "free", "gradient"]
    assert set(records["method"]) == set(methods)
    assert records.query("method == 'gradient'")["iterations"].unique().tolist() == [2]
    latent = records[records["metric"] == "latent_background_nmse_db"]
    assert set(latent["method"]) == {"encoder", "free", "gradient"}  # the oracles' are exactly 0
    assert [name for name in pictures if "/" not in name][2:] == methods
    assert all(pictures[name].shape == (2, 3, 16, 16) for name in methods)
