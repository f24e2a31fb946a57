"""Accepted tables of another scale stand beside a run's own where the spec names that scale."""

from pathlib import Path

import pytest

from deqbench import papers
from deqbench.records import write_json
from deqbench.report import accepted, site

REFERENCE = Path("results/reference/demo/decoder-inversion/headline.csv")


@pytest.fixture
def root(tmp_path, request) -> Path:
    """A folder in which the demo's accepted headline was accepted at medium."""
    folder = tmp_path / "results/reference/medium"
    (folder / "decoder-inversion").mkdir(parents=True)
    text = (request.config.rootpath / REFERENCE).read_text(encoding="utf-8")
    (folder / "decoder-inversion/headline.csv").write_text(text, encoding="utf-8")
    write_json(folder / accepted.ABOUT, {"date": "2024-05-01"})
    return tmp_path


def test_the_accepted_cells_of_the_scale_named_are_found(root):
    headline = papers.exhibit("decoder-inversion/headline")
    found = site._longer(headline, [], "demo", root)
    assert found is not None and (found.scale, found.about) == ("medium", {"date": "2024-05-01"})
    assert {dict(block.keys)["dataset"] for block in found.blocks} >= {"latent", "one-step"}
    assert (root / "reports/demo" / found.csv).resolve().is_file()


def test_a_scale_does_not_stand_beside_itself(root):
    assert site._longer(papers.exhibit("decoder-inversion/headline"), [], "medium", root) is None


def test_what_was_not_accepted_or_not_asked_for_is_not_shown(root):
    assert site._longer(papers.exhibit("decoder-inversion/ladder"), [], "demo", root) is None
    assert site._longer(papers.exhibit("decoder-inversion/table-2"), [], "demo", root) is None


def test_tables_of_a_paper_that_were_made_apart_have_their_own_origin(root):
    write_json(root / "results/reference/medium/decoder-inversion" / accepted.ABOUT, {"date": "2024-06-02"})
    found = accepted.of(papers.exhibit("decoder-inversion/headline"), "medium", root)
    assert found is not None and found.about == {"date": "2024-06-02"}


def test_cells_are_gathered_by_scale_with_the_date_of_their_own_origin(root):
    folder = root / "results/reference/medium/decoder-inversion"
    (folder / "ladder.csv").write_text((folder / "headline.csv").read_text(encoding="utf-8"), encoding="utf-8")
    write_json(folder / f"ladder.{accepted.ABOUT}", {"date": "2024-07-03"})
    found = accepted.by_scale(folder.glob("*.csv"))
    assert found.keys() == {"medium"}
    half = len(found["medium"]) // 2
    assert found["medium"]["accepted"].value_counts().to_dict() == {"2024-05-01": half, "2024-07-03": half}
    assert accepted.by_scale([]) == {}


def test_a_table_that_was_made_apart_has_its_own_origin(root):
    folder = root / "results/reference/medium/decoder-inversion"
    write_json(folder / accepted.ABOUT, {"date": "2024-06-02"})
    write_json(folder / f"headline.{accepted.ABOUT}", {"date": "2024-07-03"})
    found = accepted.of(papers.exhibit("decoder-inversion/headline"), "medium", root)
    assert found is not None and found.about == {"date": "2024-07-03"}
