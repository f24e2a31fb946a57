"""Watermarks told apart from inverted latents, and how surely two rows differ."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from deqbench import jobs
from deqbench.config import parse_job
from deqbench.decoder_inversion import classify, mark_timing, pairs, tree_rings
from deqbench.decoder_inversion.codec import Codec, quantised
from deqbench.decoder_inversion.latent_models import LatentModel
from tests.decoder_inversion import tiny

MODEL = {"autoencoder": "vae", "denoiser": "net", "targets": "diffusion", "steps": 20, "guidance": 7.5}


def job(**changes: object) -> jobs.decoder.MarkJob:
    settings = {
        "seed": 0,
        "name": "latent",
        "model": MODEL,
        "device": "cpu",
        "max_batch": 64,
        "keys": 3,
        "radius": 3,
        "symmetric": True,
        "shown": 2,
        "encoder": "encoder",
        "gradient": "gradient",
        "marked": {
            "images": 12,
            "guidance": {1.0: {"encoder": 0, "gradient": 2}, 3.0: {"encoder": 0}},
            "inversions": ["naive", "backward"],
            "timed": 1,
        },
        "inversions": {"naive": {}, "backward": {"iterations": 40, "damping": 0.9, "images": 6}},
        "inverters": {"encoder": {"inverter": "encoder"}, "gradient": {"inverter": "gradient"}},
    }
    made = jobs.decoder.MarkJob.model_validate(settings | changes)
    return parse_job(jobs.decoder.MarkJob, made.model_dump_json())  # as a command gets it


def model(slope: float = 0.5) -> LatentModel:
    return LatentModel(tiny.network(tiny.LinearEps(slope).float()), "diffusion", 1.0, 20)


def test_no_class_tells_its_key() -> None:
    known = tree_rings.keys(0, 3, (4, 8, 8), 3)
    found = classify.mark(model(), Codec(tiny.vae()), known, 18, 0, True)
    table = pd.crosstab(found.labels.numpy(), found.which.numpy())
    assert table.shape == (3, 3) and (table == 2).all(axis=None)
    torch.testing.assert_close(found.x, quantised(found.x))
    assert torch.equal(tree_rings.classified(found.x_T, known), found.which)


def test_the_oracle_is_always_right_where_the_inversion_is_exact() -> None:
    out = classify.run(tiny.vae(), model(), job())
    records = pd.DataFrame(out.study)
    assert set(records["method"]) == {"oracle", "encoder", "gradient", "chance"}
    exact = records[(records["method"] == "oracle") & (records["inversion"] == "backward")]
    assert exact.loc[exact["metric"] == "correct", "value"].tolist() == [1.0] * 12  # six at either guidance
    assert exact.loc[exact["metric"] == "p_value", "value"].max() < 1e-6
    assert exact.loc[exact["metric"] == "x_T_nmse_db", "value"].max() < -80
    naive = records[(records["method"] == "oracle") & (records["inversion"] == "naive")]
    assert naive.loc[naive["metric"] == "x_T_nmse_db", "value"].min() > -60
    assert (
        exact.loc[exact["metric"] == "residual", "value"].max()
        < 1e-5
        < naive.query("metric == 'residual'")["value"].min()
    )
    hits = records[(records["metric"] == "correct") & (records["inversion"] == "naive") & (records["guidance"] == 1)]
    share = hits.groupby("method")["value"].mean()
    gain = records[
        (records["metric"] == "over_encoder") & (records["inversion"] == "naive") & (records["guidance"] == 1)
    ]
    assert gain["method"].tolist() == ["gradient"]
    assert gain["value"].item() == pytest.approx(share["gradient"] - share["encoder"])
    predicted = records[records["metric"] == "predicted"].set_index(["method", "guidance", "inversion", "image"])
    right = records.query("metric == 'correct' and method != 'chance'").set_index(
        ["method", "guidance", "inversion", "image"]
    )
    assert ((predicted["value"] == predicted["key"]) == (right["value"] == 1)).all()


def test_pictures_show_the_rings_and_nothing_else() -> None:
    out = classify.run(tiny.vae(), model(), job()).pictures
    inside = out["key"].isfinite()
    assert inside.sum() == 2 * 29 and out["which"].tolist() == [0, 1]
    torch.testing.assert_close(out["true"], out["key"], equal_nan=True)
    assert torch.equal(out["encoder/rings"].isfinite(), inside)


def test_confusion_counts_every_image_once_and_its_diagonal_is_what_is_right() -> None:
    out = classify.run(tiny.vae(), model(), job())
    records = pd.DataFrame(out.records)
    assert set(zip(records["guidance"], records["inversion"], strict=True)) == {(1.0, "naive")}
    for name in ("oracle", "encoder", "gradient"):
        found = out.pictures[f"{name}/confusion"]
        assert found.shape == (3, 4) and found.sum(1).tolist() == [4, 4, 4]
        right = records[(records["method"] == name) & (records["metric"] == "correct")]["value"]
        assert found.diagonal().sum() == right.sum()


def test_times_cover_every_method_and_bytes_grow_with_gradients() -> None:
    work = tiny.vae(), model(), job()
    rows = pd.DataFrame(mark_timing.times(*work) + mark_timing.peaks(*work))
    table = rows.pivot_table(index="method", columns="metric", values="value")
    assert set(table.index) == {"encoder", "gradient"}
    assert (table["decoder_s"] < table["time_s"]).all()
    ratio = table.loc["gradient", "peak_bytes"] / table.loc["encoder", "peak_bytes"]
    assert ratio > 1.5 and table.loc["encoder", "peak_bytes_ratio"] == ratio


def test_nothing_is_weighed_where_nothing_is_timed() -> None:
    untimed = job(marked=job().marked.model_dump() | {"timed": 0})
    assert mark_timing.peaks(tiny.vae(), model(), untimed) == []


@pytest.mark.parametrize(("gains", "losses", "both", "neither"), [(9, 2, 30, 7), (0, 0, 20, 4), (0, 12, 3, 3)])
def test_the_paired_interval_is_walds_with_half_an_image_in_each_place(
    gains: int, losses: int, both: int, neither: int
) -> None:
    mine = np.repeat([True, False, True, False], (gains, losses, both, neither))
    base = np.repeat([False, True, True, False], (gains, losses, both, neither))
    found = pairs.gained(mine, base)
    doubled = np.repeat([1.0, -1.0, 0.0], (2 * gains + 1, 2 * losses + 1, 2 * (both + neither) + 2))
    middle, reach = doubled.mean(), stats.norm.ppf(0.975) * doubled.std() / np.sqrt(len(doubled) / 2)
    assert (found["low"], found["high"]) == pytest.approx((middle - reach, middle + reach))
    assert found["value"] == pytest.approx(mine.mean() - base.mean())
    assert found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize(("gains", "losses"), [(9, 2), (0, 5), (4, 4), (0, 0)])
def test_mcnemar_is_the_binomial_test(gains: int, losses: int) -> None:
    wanted = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert pairs.mcnemar(gains, losses) == pytest.approx(wanted)
