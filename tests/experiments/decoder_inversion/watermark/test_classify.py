"""Watermarks told apart from inverted latents."""

import pandas as pd
import pytest
import torch

from deqbench.config.reading import parse_job
from deqbench.decoder_inversion import tree_rings
from deqbench.decoder_inversion.codec import Codec, quantised
from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.experiments.decoder_inversion.watermark import classify, timing
from deqbench.experiments.decoder_inversion.watermark.job import MarkJob
from tests.decoder_inversion import tiny

MODEL = {"autoencoder": "vae", "denoiser": "net", "targets": "diffusion", "steps": 20, "guidance": 7.5}


def job(**changes: object) -> MarkJob:
    settings = {
        "paper": "decoder-inversion",
        "experiment": "watermark",
        "seed": 0,
        "dataset": "latent",
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
    made = MarkJob.model_validate(settings | changes)
    return parse_job(MarkJob, made.model_dump_json())  # as a command gets it


def silent(done: int, total: int) -> None:
    """No progress is told."""


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
    out = classify.run(tiny.vae(), model(), job(), silent)
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
    out = classify.run(tiny.vae(), model(), job(), silent).pictures
    inside = out["key"].isfinite()
    assert inside.sum() == 2 * 29 and out["which"].tolist() == [0, 1]
    torch.testing.assert_close(out["true"], out["key"], equal_nan=True)
    assert torch.equal(out["encoder/rings"].isfinite(), inside)


def test_confusion_counts_every_image_once_and_its_diagonal_is_what_is_right() -> None:
    out = classify.run(tiny.vae(), model(), job(), silent)
    records = pd.DataFrame(out.records)
    assert set(zip(records["guidance"], records["inversion"], strict=True)) == {(1.0, "naive")}
    for name in ("oracle", "encoder", "gradient"):
        found = out.pictures[f"{name}/confusion"]
        assert found.shape == (3, 4) and found.sum(1).tolist() == [4, 4, 4]
        right = records[(records["method"] == name) & (records["metric"] == "correct")]["value"]
        assert found.diagonal().sum() == right.sum()


def test_times_cover_every_method_and_bytes_grow_with_gradients() -> None:
    work = tiny.vae(), model(), job()
    rows = pd.DataFrame(timing.times(*work) + timing.peaks(*work))
    table = rows.pivot_table(index="method", columns="metric", values="value")
    assert set(table.index) == {"encoder", "gradient"}
    assert (table["decoder_s"] < table["time_s"]).all()
    ratio = table.loc["gradient", "peak_bytes"] / table.loc["encoder", "peak_bytes"]
    assert ratio > 1.5 and table.loc["encoder", "peak_bytes_ratio"] == ratio


def test_nothing_is_weighed_where_nothing_is_timed() -> None:
    untimed = job(marked=job().marked.model_dump() | {"timed": 0})
    assert timing.peaks(tiny.vae(), model(), untimed) == []
