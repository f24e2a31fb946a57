"""The pages of inversions, and the verdicts on a made-up run."""

import shutil

import inversions
import pandas as pd
import pytest
import synthetic
from html_pages import Page
from inversions import DEMO, EXHIBITS

from deqbench import papers
from deqbench.records import write_frame, write_json
from deqbench.report import claims, site, tables


def test_the_verdicts_follow_from_the_made_up_losses(inversion_cells):
    frame = pd.concat(inversion_cells.values(), ignore_index=True)
    found = {claim.id: claims.judge(claim, frame, DEMO) for claim in papers.claims("deq-ddim")}
    verdicts = {name: judged["verdict"] for name, judged in found.items()}
    assert verdicts["ddim-12"] == verdicts["ddim-24"] == verdicts["ddim-16"] == "reproduced"
    assert verdicts["ddim-14"] == "inconclusive"  # of T = 20 only two images get down to a loss of 2 at all
    assert {row["verdict"] for row in found["ddim-14"]["measured"] if "T=10" in row["label"]} == {"reproduced"}
    assert verdicts["ddim-15"] == "contradicted"  # the steeper line has the larger spread over lengths
    assert verdicts["ddim-18"] == "reproduced"
    assert verdicts["ddim-17"] == "not testable at this scale"  # the made-up run has no rate of 0.005
    assert verdicts["ddim-13"] == "not testable at this scale"
    assert "Measured all the same" in found["ddim-13"]["sentence"]
    assert verdicts["ddim-22"] == "reproduced"
    assert verdicts["ddim-23"] in ("reproduced", "inconclusive")


@pytest.fixture(scope="module")
def pages(inversion_cells, inversion_figures, tmp_path_factory):
    """The pages of the made-up run, by name; accepted tables of chains of 100 steps lie beside it."""
    root = tmp_path_factory.mktemp("site")
    for name in ("deqbench", "config", "rules", "reports/templates", "reports/static"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(synthetic.REPOSITORY / name)
    results = root / "results/tiny"
    inversions.write_run(results)
    for name, frame in inversion_cells.items():
        write_frame(results / f"tables/deq-ddim/{name}.csv", frame)
    shutil.copytree(inversion_figures, results / "figures/deq-ddim")
    frame = pd.concat(inversion_cells.values(), ignore_index=True)
    write_json(
        results / "claims/deq-ddim.json", [claims.judge(claim, frame, DEMO) for claim in papers.claims("deq-ddim")]
    )
    longer = tables.cells(EXHIBITS["table-3"], inversions.records(100), DEMO)
    write_frame(root / "results/reference/medium/deq-ddim/table-3.csv", longer)
    site.build(synthetic.config(), "config/tiny.yaml", root)
    found = {path.name: Page(path.read_text()) for path in (root / "reports/tiny").glob("*.html")}
    found["summary"] = (root / "reports/tiny/summary.md").read_text()
    found["out"] = root / "reports/tiny"
    return found


def test_the_pages_of_inversions_are_whole_and_lead_to_their_files(pages):
    for name in ("deq-ddim.html", "performance.html", "index.html"):
        page = pages[name]
        assert len(page.ids) == len(set(page.ids)) and (page.open, page.crossed) == ([], [])
        files = [link for link in page.links if link.endswith((".svg", ".csv")) and not link.startswith("..")]
        assert all((pages["out"] / link).is_file() for link in files)
    assert "figures/deq-ddim/figure-4/digits-10.svg" in pages["deq-ddim.html"].links
    assert "figures/deq-ddim/inversion/seconds.svg" in pages["performance.html"].links


def test_the_pages_of_inversions_say_what_a_reader_must_know(pages):
    words = " ".join(pages["deq-ddim.html"].words.split())
    assert "derived: 14.36 min / 3000 epochs" in words
    assert "printed 0.68 ± 0.32" in words
    assert "stands in for CIFAR10, CelebA" in words
    assert "it is the threshold of 0.5 at which a run was stopped" in words
    assert "Longer: accepted records of scale medium" in words and "T = 100" in words
    assert "The number under an image is its loss" in words
    performance = " ".join(pages["performance.html"].words.split())
    assert "Loss against seconds" in performance and "1 of 1 images never reach it" not in performance
    assert "Smallest loss" in performance or "smallest loss" in performance
    assert "times sooner than Algorithm 1" in pages["summary"]


def test_without_a_run_the_pages_of_inversions_say_that_nothing_is_measured(tmp_path):
    for name in ("deqbench", "config", "rules", "reports/templates", "reports/static"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(synthetic.REPOSITORY / name)
    site.build(synthetic.config(), "config/tiny.yaml", tmp_path)
    page = Page((tmp_path / "reports/tiny/deq-ddim.html").read_text())
    assert (page.open, page.crossed) == ([], [])
    words = " ".join(page.words.split())
    assert "Algorithm 1, backprop" not in words.split("Claims")[0]
    assert "1674.68" in words  # what the paper prints is there all the same
