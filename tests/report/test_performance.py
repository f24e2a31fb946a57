"""The comparison's cells, drawings and page show what the records hold, and say what is of another run."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from comparisons import DEMO, STUDY, records, traces
from html_pages import Page
from typer.testing import CliRunner

from deqbench import papers
from deqbench.commands import regression as command
from deqbench.errors import UserError
from deqbench.metrics import intervals
from deqbench.records import write_frame, write_json
from deqbench.report import performance, site
from deqbench.report.figures import draw
from deqbench.report.tables import cells

FOUND = {"date": "2024-05-01 10:01 UTC", "version": "0.1.0", "commit": "abc", "device": "x86_64", "threads": "2"}


def test_cells_hold_the_distribution_of_the_error():
    found = cells(STUDY, records(), DEMO).set_index(["method", "metric"])
    secant = found.loc["secant"]
    errors = np.sort([0.5 if image == 7 else 1e-4 + image * 1e-6 for image in range(40)])
    assert secant.loc["x0_error", "value"] == pytest.approx(np.median(errors))
    assert secant.loc["x0_error_95", "value"] == errors[38]  # 38 of 40 are 95 % and lie at or below errors[37]
    assert secant.loc["x0_error_worst", "value"] == 0.5
    assert secant.loc["above", "value"] == 1 / 40
    assert tuple(secant.loc["above", ["low", "high"]]) == intervals.wilson(1, 40)
    assert secant.loc["time_ratio", "value"] == pytest.approx(4.0)
    assert set(found["n"]) <= {40}
    assert np.isnan(found.loc[("ddim", "time_ratio"), "value"])


def test_rounds_are_set_against_the_papers_image_by_image():
    found = cells(STUDY, records(), DEMO).set_index(["method", "metric"])
    expected = intervals.log_interval(np.array([1 / 2, 1 / 4] * 20))
    secant = found.loc[("secant", "rounds_oracle_ratio")]
    assert secant["value"] == pytest.approx(8**-0.5)
    assert tuple(secant[["low", "high"]]) == pytest.approx(expected)
    assert found.loc[("secant", "rounds_ratio"), "value"] == pytest.approx(1.0)
    assert found.loc[("deq-ddim-paper", "rounds_ratio"), "note"] == "the baseline itself"
    alone = records()
    alone = cells(STUDY, alone[alone["method"] != "deq-ddim-paper"], DEMO).set_index(["method", "metric"])
    assert alone.loc[("secant", "rounds_ratio"), "note"] == "the paper's method is not compared here"


def test_an_analytic_problem_has_cells_that_stand_in_for_nothing():
    found = cells(STUDY, records(dataset="mixture-64"), DEMO)
    assert set(found["stands_in_for"]) == {""}
    assert list(found["dataset"].unique()) == ["mixture-64"]


def test_an_image_that_has_ended_keeps_its_last_error():
    found = performance.medians(traces())
    counted, timed = (found[found["run"] == run] for run in ("counted", "timed"))
    assert counted["median"].tolist() == pytest.approx(
        [0.2, 0.02, 0.02]
    )  # of (.1, .2, .3), (.01, .02, .3), (.001, ...)
    assert timed["median"].tolist() == counted["median"].tolist()
    assert counted["nfe"].tolist() == [1.5, 2.0, 2.0]
    assert timed["seconds"].tolist() == [3.0, 4.0, 5.0]
    assert set(found["n"]) == {3}


def test_a_drawing_of_each_quantity_is_made_and_is_always_the_same(tmp_path):
    write_frame(tmp_path / "50.parquet", traces())
    for out in ("one", "two"):
        draw(STUDY, [tmp_path / "50.parquet"], tmp_path / out)
    about = json.loads((tmp_path / "one/figure.json").read_text())
    assert [entry["file"] for entry in about["files"]] == ["round.svg", "nfe.svg", "seconds.svg"]
    assert all(
        "secant sweeps (ours)" in entry["alt"] and "mixture-64, T = 50" in entry["alt"] for entry in about["files"]
    )
    assert "n = 3 images" in about["facts"][0]
    names = [*(entry["file"] for entry in about["files"]), "data.csv", "figure.json"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_without_times_nothing_is_drawn_against_seconds(tmp_path):
    write_frame(tmp_path / "50.parquet", traces().drop(columns="seconds").dropna(subset="nfe"))
    draw(STUDY, [tmp_path / "50.parquet"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.svg")) == ["nfe.svg", "round.svg"]


def test_without_traces_it_is_an_error(tmp_path):
    with pytest.raises(UserError, match="deq-ddim/comparison: expected traces or tensors"):
        draw(STUDY, [tmp_path / "50.csv"], tmp_path / "out")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """The folder of the comparison's drawings."""
    folder = tmp_path_factory.mktemp("drawn")
    write_frame(folder / "traces.parquet", traces())
    draw(STUDY, [folder / "traces.parquet"], folder / "out")
    return folder / "out"


@pytest.fixture
def page(tmp_path, drawn):
    """Builds the page of a run with a comparison at T = 50, and accepted tables of `medium` at another T."""
    for name in ("deqbench", "config", "reports/templates", "reports/static"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(synthetic.REPOSITORY / name)
    results = tmp_path / "results/tiny"
    write_frame(results / "tables/deq-ddim/comparison.csv", cells(STUDY, records(), DEMO))
    shutil.copytree(drawn, results / "figures/deq-ddim/comparison")
    picked = {"dataset": "digits", "T": 50, "method": "secant-tuned", "tried": 6, "rounds": 7.5, "x0_error": 2e-4}
    write_json(results / "deq-ddim/comparison/digits/50.chosen.json", [{**picked, "options": {"nodes": 16}}])
    behind = replace(synthetic.find_trail(papers.exhibit("deq-ddim/table-1")), records=())

    def build(T: int, about: dict | None = FOUND) -> Page:
        write_frame(tmp_path / "results/reference/medium/deq-ddim/comparison.csv", cells(STUDY, records(T), DEMO))
        if about:
            write_json(tmp_path / "results/reference/medium/provenance.json", about)
        find = {"comparison": behind}
        site.build(synthetic.config(), "config/tiny.yaml", tmp_path, find_trail=lambda exhibit: find.get(exhibit.id))
        found = Page((tmp_path / "reports/tiny/performance.html").read_text())
        found.out = tmp_path / "reports/tiny"
        return found

    return build


def test_the_page_has_tables_drawings_and_what_was_chosen(page):
    found = page(1000)
    words = " ".join(found.words.split())
    assert "secant sweeps (ours)" in words and "Error against seconds" in words
    row = (found.out / "performance.html").read_text().split("<td>secant-tuned</td>")[1].split("</tr>")[0]
    assert re.findall(r">([^<>\n]+)<", row) == ["nodes 16", "6", "7.5", "0.0002"]
    assert [link for link in found.links if link.endswith(".svg")] == [
        f"figures/deq-ddim/comparison/{name}.svg" for name in ("round", "nfe", "seconds")
    ]
    assert len(found.ids) == len(set(found.ids)) and (found.open, found.crossed) == ([], [])
    assert "performance.html" in Page((found.out / "index.html").read_text()).links
    assert "secant sweeps (ours)" in (found.out / "summary.md").read_text()


def test_accepted_tables_of_longer_chains_are_shown_with_their_scale_and_date(page):
    found = page(1000)
    words = " ".join(found.words.split())
    assert "These are not of this run" in words
    assert "accepted records of scale medium, made on 2024-05-01 10:01 UTC by deqbench 0.1.0, commit abc" in words
    assert "T = 1000" in words
    assert (found.out / "../../results/reference/medium/deq-ddim/comparison.csv").resolve().is_file()


@pytest.mark.parametrize("T", [20, 50])
def test_accepted_tables_of_no_longer_chains_are_not_shown(page, T):
    assert "These are not of this run" not in page(T).words


def test_accepted_tables_of_unknown_origin_say_no_date(page):
    words = " ".join(page(1000, about=None).words.split())
    assert "accepted records of scale medium. Download" in words


def test_accepting_writes_down_when_and_by_what_the_tables_were_made(tmp_path):
    results = tmp_path / "results"
    write_frame(results / "medium/tables/deq-ddim/comparison.csv", cells(STUDY, records(), DEMO))
    accept = ["accept", "--scale", "medium", "--results", str(results)]
    assert CliRunner().invoke(command.app, accept).exit_code == 0
    assert not (results / "reference/medium/provenance.json").exists()
    synthetic.write_sidecar(results / "medium/deq-ddim/comparison/digits/50.parquet", stale=False)
    assert CliRunner().invoke(command.app, accept).exit_code == 0
    found = json.loads((results / "reference/medium/provenance.json").read_text())
    assert found == FOUND | {"commit": "abc123"}
    assert (results / "reference/medium/deq-ddim/comparison.csv").is_file()
