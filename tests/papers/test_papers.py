"""The papers' data keeps its form, and its digits are the printed ones."""

import re
from pathlib import Path

import pandas as pd
import pytest

from deqbench import papers
from deqbench.errors import UserError
from deqbench.papers import PAPERS

KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COLUMNS = ("row", "metric", "unit", "value", "plus_minus", "direction", "note")
CLAIM_PREFIX = {"deq-ddim": "ddim", "decoder-inversion": "dec", "deq-score-matching": "sm", "jiio": "jiio"}

FOLDER = Path(papers.__file__).parent

each_paper = pytest.mark.parametrize("paper", PAPERS)


PRINTED = [f"{paper}/{path.stem}" for paper in PAPERS for path in sorted((FOLDER / paper / "tables").glob("*.csv"))]


@pytest.fixture(params=PRINTED)
def table(request) -> pd.DataFrame:
    """The printed values of each exhibit that has a file of its own."""
    return papers.printed(papers.exhibit(request.param))


def only(exhibit_id: str, metric: str, **where: str) -> str:
    """The one printed value of a metric in the rows that carry these keys."""
    table = papers.printed(papers.exhibit(exhibit_id))
    for column, value in {"metric": metric, **where}.items():
        table = table[table[column] == value]
    (found,) = table.value
    return found


def number(text: str) -> float:
    """The number a printed text stands for; thousands marks stand before three digits each."""
    return float(re.sub(r"(?<=\d),(?=\d{3}(\D|$))", "", text))


@each_paper
def test_exhibit_ids_are_unique_kebab_case_and_repeat_the_number(paper):
    found = papers.exhibits(paper)
    assert len({exhibit.id for exhibit in found}) == len(found)
    for exhibit in found:
        assert KEBAB.fullmatch(exhibit.id)
        if exhibit.id != "headline":
            assert exhibit.id == exhibit.number.lower().replace(" ", "-")
            assert exhibit.id.startswith(exhibit.kind)


@pytest.mark.parametrize(
    ("paper", "tables", "figures"),
    [("deq-ddim", 4, 25), ("decoder-inversion", 9, 9), ("deq-score-matching", 10, 9), ("jiio", 9, 12)],
)
def test_no_table_or_figure_of_the_paper_is_left_out(paper, tables, figures):
    kinds = [exhibit.kind for exhibit in papers.exhibits(paper)]
    assert kinds == ["table"] * tables + ["figure"] * figures


@each_paper
def test_titles_have_three_to_eight_words(paper):
    assert [e.title for e in papers.exhibits(paper) if not 3 <= len(e.title.split()) <= 8] == []


@each_paper
def test_every_printed_file_is_there_and_every_file_belongs_to_an_exhibit(paper):
    folder = FOLDER / paper
    named = {exhibit.printed for exhibit in papers.exhibits(paper) if exhibit.printed}
    there = {f"tables/{file.name}" for file in (folder / "tables").iterdir()}
    assert named - {"settings.csv"} == there
    assert (folder / "settings.csv").is_file()


def test_a_printed_table_has_the_common_columns_and_a_key(table):
    columns = list(table.columns)
    assert set(COLUMNS) <= set(columns)
    assert set(columns) - set(COLUMNS) - {"dataset"}, "nothing tells the cells of a row apart"
    assert "table" not in columns


def test_every_printed_value_is_a_number_with_a_metric_and_a_unit(table):
    assert len(table) > 0
    for value in [*table.value, *table.plus_minus[table.plus_minus != ""]]:
        number(value)
    assert (table[["row", "metric", "unit"]] != "").all().all()


def test_directions_are_lower_higher_or_empty_and_agree_within_a_metric(table):
    assert set(table.direction) <= {"", "lower", "higher"}
    assert (table.groupby("metric").direction.nunique() == 1).all()


def test_no_cell_of_a_table_is_given_twice(table):
    cell = [column for column in table if column not in ("value", "plus_minus", "direction", "note")]
    assert not table.duplicated(cell).any()


@each_paper
def test_claims_are_numbered_without_a_gap_under_the_prefix_of_the_paper(paper):
    ids = [claim.id for claim in papers.claims(paper)]
    assert ids == [f"{CLAIM_PREFIX[paper]}-{i:02d}" for i in range(1, len(ids) + 1)]


@each_paper
def test_claims_name_only_exhibits_that_exist(paper):
    known = {exhibit.number for exhibit in papers.exhibits(paper)}
    for claim in papers.claims(paper):
        for kind, listed in re.findall(r"(Table|Figure)s? (S?\d+[a-z]?(?:, S?\d+[a-z]?)*)", claim.where):
            for item in listed.split(", "):
                whole = item.rstrip("abcd")  # a panel of a figure, such as Figure 4d
                assert {f"{kind} {item}", f"{kind} {whole}"} & known, (claim.id, f"{kind} {item}")


@each_paper
def test_every_setting_has_a_name_a_value_and_its_place_in_the_paper(paper):
    settings = papers.settings(paper)
    assert list(settings.columns) == ["experiment", "dataset", "name", "value", "unit", "where"]
    assert (settings[["experiment", "dataset", "name", "value", "where"]] != "").all().all()


@each_paper
def test_the_paper_says_what_it_is(paper):
    about = papers.about(paper)
    assert about.id == paper and about.authors
    assert 1 <= len(about.short.split()) <= 3


@pytest.mark.parametrize(
    ("digits", "exhibit", "metric", "where"),
    [
        ("4.07", "deq-ddim/table-1", "FID", {"dataset": "CIFAR10", "method": "DDIM"}),
        ("2.91", "deq-ddim/table-1", "time per image", {"dataset": "CIFAR10", "method": "DEQ-DDIM"}),
        ("13.55", "deq-ddim/table-1", "FID", {"dataset": "LSUN Church", "method": "DEQ-DDIM"}),
        ("1.00", "deq-ddim/table-2", "time per image", {"eta": "0.5", "T": "50", "method": "DEQ-sDDIM"}),
        ("1674.68", "deq-ddim/table-3", "minimum loss", {"dataset": "LSUN Church", "method": "Baseline"}),
        ("25.31", "deq-ddim/table-4", "FID", {"eta": "1", "T": "20", "method": "DEQ-sDDIM"}),
        ("6.64", "deq-ddim/figure-17", "minimum loss", {"dataset": "CIFAR10", "eta": "1"}),
        ("9.51", "decoder-inversion/headline", "runtime to the stated NMSE", {"method": "Gradient-based"}),
        ("6.35", "decoder-inversion/table-2", "peak memory", {"dataset": "SD2.1", "method": "Gradient-free"}),
        ("-21.72", "decoder-inversion/table-s1a", "NMSE", {"bits": "16", "iterations": "100"}),
        ("7.13", "decoder-inversion/table-s1b", "memory", {"method": "Gradient-free", "bits": "16"}),
        ("-19.35", "decoder-inversion/table-s2a", "NMSE", {"method": "Vanilla", "iterations_printed": "100"}),
        ("-17.85", "decoder-inversion/table-s2b", "NMSE", {"lr": "0.002", "iterations": "20"}),
        (
            "131.74",
            "deq-score-matching/table-1",
            "FID",
            {"row": "SSM VAE", "dataset": "Cifar10", "iterations": "10000"},
        ),
        ("-45.01", "deq-score-matching/table-2", "test SM loss", {"method": "DEQ-SM DKEF", "dataset": "WhiteWine"}),
        ("25.42", "deq-score-matching/table-3", "test Fisher divergence", {"method": "DEQ-SM DKEF", "dim": "200"}),
        ("-2548", "deq-score-matching/table-4", "test SM loss", {"method": "DEQ-SSM"}),
        ("2104", "deq-score-matching/table-5", "memory of the score graph", {"method": "DEQ-SSM-VR NCSN"}),
        ("11.8", "deq-score-matching/table-10", "average iterations", {"method": "DEQ-SSM NICE"}),
        ("32.52", "jiio/table-1", "FID", {"method": "JIIO-MDEQ", "task": "reconstruction"}),
        ("1401", "jiio/table-2", "time for one adversarial example", {"method": "JIIO"}),
        ("17.86", "jiio/table-4", "median PSNR", {"row": "unsupervised JIIO-MDEQ-100", "sigma": "0.2"}),
        ("96.63", "jiio/table-5", "accuracy", {"dataset": "MNIST", "train": "JIIO", "test": "JIIO"}),
        ("28948", "jiio/table-7", "time for inner-loop optimization", {"method": "PGD"}),
    ],
)
def test_the_printed_digits_are_those_of_the_paper(digits, exhibit, metric, where):
    assert only(exhibit, metric, **where) == digits


@pytest.mark.parametrize(
    ("exhibit", "rows", "name", "value"),
    [
        ("deq-score-matching/table-8", 23, "layer 11", "RefineBlock, 256 -> 128"),
        ("jiio/table-9", 72, "backward quasi-Newton threshold T_b", "20"),
    ],
)
def test_a_table_of_settings_gives_its_own_rows_only(exhibit, rows, name, value):
    table = papers.printed(papers.exhibit(exhibit))
    assert len(table) == rows
    assert set(table.loc[table.name == name, "value"]) == {value}


def test_an_unknown_exhibit_is_refused_with_the_nearest_known_one():
    with pytest.raises(UserError, match=r"deq-ddim/tabel-1.*did you mean 'deq-ddim/table-1'"):
        papers.exhibit("deq-ddim/tabel-1")


def test_an_unknown_paper_is_refused_with_the_nearest_known_one():
    with pytest.raises(UserError, match="did you mean 'deq-ddim'"):
        papers.exhibits("deq-dim")


def test_an_exhibit_without_printed_values_says_so():
    with pytest.raises(UserError, match=r"deq-ddim/figure-1: .*no values"):
        papers.printed(papers.exhibit("deq-ddim/figure-1"))


@pytest.mark.parametrize("read", [papers.settings, lambda paper: papers.printed(papers.exhibit(f"{paper}/table-2"))])
def test_what_a_reader_changes_stays_with_that_reader(read):
    table = read("deq-ddim")
    table.loc[0, "value"] = "changed"
    assert read("deq-ddim").loc[0, "value"] != "changed"


@pytest.mark.parametrize(("text", "value"), [("1,114.49", 1114.49), ("-2,548", -2548.0), (".1", 0.1), ("5e-6", 5e-6)])
def test_thousands_marks_and_bare_points_are_read_as_numbers(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "N/A", "1,2", "12 s"])
def test_what_is_not_a_number_is_refused(text):
    with pytest.raises(ValueError, match="could not convert"):
        number(text)
