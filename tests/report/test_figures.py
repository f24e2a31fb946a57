"""Figures are pure functions of records: same files twice, the drawn numbers beside them, gaps said out loud."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from synthetic import DECLARED, curves, write_latents

from deqbench import papers
from deqbench.errors import UserError
from deqbench.papers.spec import Spec
from deqbench.records import write_frame
from deqbench.report import figures


def records_under(folder: Path) -> list[Path]:
    """The record files of a made-up run."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".parquet", ".safetensors"))


def exhibit(name: str, **spec) -> papers.Exhibit:
    declared = DECLARED[f"deq-ddim/{name}"]
    labels = spec.pop("labels", {})
    made = Spec.model_validate({**declared, "labels": labels, "drawing": declared["drawing"] | spec})
    return replace(papers.exhibit(f"deq-ddim/{name}"), spec=made)


def draw_curves(folder, records: pd.DataFrame, **spec) -> dict:
    write_frame(folder / "deq-ddim/figure-1/digits.parquet", records)
    figures.draw(exhibit("figure-1", **spec), records_under(folder), folder / "out")
    return json.loads((folder / "out/figure.json").read_text())


def test_two_drawings_are_the_same_bytes(tmp_path):
    write_latents(tmp_path / "deq-ddim/figure-2/digits.safetensors")
    draw_curves(tmp_path, curves())
    figures.draw(exhibit("figure-2"), records_under(tmp_path), tmp_path / "out")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    draw_curves(tmp_path, curves())
    figures.draw(exhibit("figure-2"), records_under(tmp_path), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first
    assert {"figure.svg", "digits-T500.svg", "data.csv", "figure.json"} == set(first)


def test_the_data_beside_the_curves_are_medians_and_ranges_over_images(tmp_path):
    draw_curves(tmp_path, curves())
    drawn = pd.read_csv(tmp_path / "out/data.csv").set_index(["metric", "T", "round"])
    row = drawn.loc[("residual", 10, 3)]
    np.testing.assert_allclose(row[["median", "low", "high"]].tolist(), np.array([3, 1, 5]) * 0.7**6)
    assert row["n"] == 5


def test_values_that_cannot_be_drawn_are_counted(tmp_path):
    records = curves()
    records.loc[records["round"] == 15, "value"] = np.inf
    records.loc[records["round"] == 14, "value"] = 0.0
    facts = " ".join(draw_curves(tmp_path, records)["facts"])
    assert "30 of the recorded values are not finite" in facts
    assert "exactly 0 lie below" in facts
    assert pd.read_csv(tmp_path / "out/data.csv")["round"].max() == 14


def test_n_is_a_range_where_some_images_stopped_early(tmp_path):
    records = curves()
    stopped = (records["image"] == 0) & (records["round"] > 10)
    assert "n = 4 to 5 images" in draw_curves(tmp_path, records[~stopped])["facts"][0]


@pytest.mark.parametrize(("methods", "charts"), [(1, 2), (5, 10)])
def test_every_method_and_metric_has_its_own_chart(tmp_path, methods, charts):
    records = pd.concat([curves().assign(method=f"m{at}") for at in range(methods)])
    about = draw_curves(tmp_path, records[records["T"] == 10], labels={"m0": "a method of ours"})
    svg = ElementTree.parse(tmp_path / "out/figure.svg")
    axes = {group.get("id") for group in svg.iter("{http://www.w3.org/2000/svg}g") if "axes_" in group.get("id", "")}
    assert len(axes) == charts
    assert "a method of ours" in about["files"][0]["alt"]


def test_latents_show_one_column_a_state_with_its_error(tmp_path):
    write_latents(tmp_path / "deq-ddim/figure-2/digits.safetensors", channels=1)
    figures.draw(exhibit("figure-2"), records_under(tmp_path), tmp_path / "out")
    svg = (tmp_path / "out/digits-T500.svg").read_text()
    assert svg.count("<image ") == 14
    assert "pixelated" in svg
    data = pd.read_csv(tmp_path / "out/data.csv")
    assert data["state"].tolist() == [*range(500, 0, -250), 4, 3, 2, 1, 0]
    np.testing.assert_allclose(data["error"], np.logspace(0, -4, 7), rtol=1e-5)


def test_several_solves_of_a_chain_are_rows_of_one_drawing(tmp_path):
    path = tmp_path / "deq-ddim/figure-10/digits.safetensors"
    write_latents(path)
    with safe_open(path, framework="np") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    twice = {name: np.concatenate([kept[name], kept[name] / 2]) for name in ("T500.joint", "T500.error")}
    save_file(kept | twice, path, {"solves": "deq-ddim 10, deq-ddim-zeros 30", "dataset": "digits"})
    figures.draw(exhibit("figure-2"), [path], tmp_path / "out")
    about = json.loads((tmp_path / "out/figure.json").read_text())
    assert (tmp_path / "out/digits-T500.svg").read_text().count("<image ") == 21
    assert "deq-ddim-zeros after 30 solver steps" in about["files"][0]["alt"]
    data = pd.read_csv(tmp_path / "out/data.csv")
    assert data.groupby("method")["rounds"].unique().map(list).to_dict() == {"deq-ddim": [10], "deq-ddim-zeros": [30]}
    np.testing.assert_allclose(data["error"][7:], np.logspace(0, -4, 7) / 2, rtol=1e-5)


def test_several_chains_of_a_data_set_have_a_drawing_each(tmp_path):
    path = tmp_path / "deq-ddim/figure-18/digits.safetensors"
    write_latents(path)
    with safe_open(path, framework="np") as file:
        about, kept = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    shorter = {
        name.replace("T500", "T50"): tensor // 2 if "indices" in name else tensor for name, tensor in kept.items()
    }
    save_file(kept | shorter, path, about)
    figures.draw(exhibit("figure-2"), [path], tmp_path / "out")
    about = json.loads((tmp_path / "out/figure.json").read_text())
    assert [file["file"] for file in about["files"]] == ["digits-T500.svg", "digits-T50.svg"]
    assert "T = 50, " in about["files"][1]["title"] and "T = 50, " in about["files"][1]["alt"]
    data = pd.read_csv(tmp_path / "out/data.csv")
    assert data["T"].tolist() == [500] * 7 + [50] * 7
    assert (data["state"][7:].to_numpy() == data["state"][:7] // 2).all()


def test_samples_show_one_column_an_eta_with_its_error_and_name_the_steps(tmp_path):
    path = tmp_path / "deq-ddim/figure-12/digits.safetensors"
    path.parent.mkdir(parents=True)
    joint = np.random.default_rng(0).uniform(-1, 1, (3, 1, 8, 8)).astype(np.float32)
    eta, rounds = np.array([0, 0.5, 1]), np.array([9, 14, 20])
    tensors = {"joint": joint, "sequential": joint, "eta": eta, "rounds": rounds, "error": np.logspace(-4, -2, 3)}
    save_file(tensors, path, {"T": "50", "method": "deq-sddim-paper", "dataset": "digits"})
    figures.draw(papers.exhibit("deq-ddim/figure-12"), [path], tmp_path / "out")
    about = json.loads((tmp_path / "out/figure.json").read_text())
    assert (tmp_path / "out/digits.svg").read_text().count("<image ") == 6
    assert about["files"][0]["title"] == "digits, T = 50, DEQ-sDDIM, paper"
    assert "eta = 0, eta = 0.5, eta = 1" in about["files"][0]["alt"]
    assert "9, 14, 20 solver steps at eta = 0, eta = 0.5, eta = 1" in about["facts"][1]
    data = pd.read_csv(tmp_path / "out/data.csv")
    assert data["eta"].tolist() == eta.tolist() and data["rounds"].tolist() == rounds.tolist()
    np.testing.assert_allclose(data["error"], np.logspace(-4, -2, 3))


def test_a_facet_puts_eta_in_the_place_of_the_method(tmp_path):
    records = pd.concat([curves().assign(eta=eta, value=curves()["value"] * (1 + eta)) for eta in (0.2, 1.0)])
    about = draw_curves(tmp_path, records, facet="eta", y=["residual"])
    assert "digits with eta = 0.2; digits with eta = 1." in about["files"][0]["alt"]
    drawn = pd.read_csv(tmp_path / "out/data.csv").set_index(["eta", "T", "round"])["median"]
    assert drawn[1.0, 10, 3] == pytest.approx(drawn[0.2, 10, 3] * 2 / 1.2)


def test_no_drawing_fetches_anything_and_none_carries_a_date(tmp_path):
    draw_curves(tmp_path, curves())
    svg = (tmp_path / "out/figure.svg").read_text()
    assert "dc:date" not in svg
    assert 'href="http' not in svg


def test_missing_records_are_named(tmp_path):
    with pytest.raises(
        UserError, match="deq-ddim/figure-1: expected traces or tensors of Figure 1 to draw; found none"
    ):
        figures.draw(exhibit("figure-1"), records_under(tmp_path), tmp_path / "out")
