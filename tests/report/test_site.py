"""The pages list everything, label what could be mistaken, escape what they print, and every link leads somewhere."""

import os
import re
from collections import Counter
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
from html_pages import Page
from synthetic import HOSTILE, REPOSITORY, SPECS, cells, config, verdicts

from deqbench import index, papers
from deqbench.errors import UserError
from deqbench.records import write_frame, write_json
from deqbench.report import ledger, site
from deqbench.report.blocks import MINUS, TIMES, blocks, letter, number, printed_grid, read_cells


@pytest.fixture(scope="session")
def pages(run) -> dict:
    return {path.name: Page(path.read_text()) for path in sorted(run.out.glob("*.html"))}


def section(run, name: str, page: str = "deq-ddim.html") -> str:
    """The HTML of one exhibit or claim."""
    return (run.out / page).read_text().split(f'id="{name}"')[1].split("</section>")[0]


def test_every_exhibit_and_claim_of_every_paper_is_listed(pages):
    for paper in papers.PAPERS:
        found = pages[f"{paper}.html"]
        wanted = [exhibit.id for exhibit in papers.exhibits(paper)]
        wanted += [f"claim-{claim.id}" for claim in papers.claims(paper)]
        assert set(wanted) <= set(found.ids)
        links = pages["index.html"].links
        assert {f"{paper}.html#{name}" for name in wanted} <= set(links)


def test_what_is_not_measured_still_shows_what_the_paper_prints(run):
    found = section(run, "table-3")
    assert "not measured yet" in found
    assert "15.74 ± 8.7" in found


def test_a_table_of_words_is_not_said_to_wait_for_a_measurement(run):
    found = section(run, "table-1", "decoder-inversion.html")
    assert "no numbers" in found and "not measured yet" not in found


def test_every_link_leads_to_a_file_and_a_place_that_exist(run, pages):
    for name, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            assert not address.scheme and not address.netloc and not address.path.startswith("/"), link
            target = os.path.normpath(run.out / (unquote(address.path) or name))
            assert target.startswith(str(run.root)), link
            assert os.path.exists(target), link
            if address.fragment:
                assert address.fragment in pages[os.path.basename(target)].ids, link


def test_ids_are_unique_and_tags_closed(pages):
    for page in pages.values():
        assert [name for name, count in Counter(page.ids).items() if count > 1] == []
        assert (page.open, page.crossed) == ([], [])


def test_hostile_text_is_printed_and_never_run(run, pages):
    for path in (*run.out.glob("*.html"), run.out / "summary.md"):
        assert "<script>" not in path.read_text()
        assert "<b>here" not in path.read_text()
    assert HOSTILE in pages["deq-ddim.html"].words
    assert HOSTILE in pages["index.html"].words


def test_a_printed_value_of_other_data_is_labelled_stand_in_and_keeps_its_digits(run):
    found = " ".join(section(run, "table-1").split())
    assert re.search(r'class="as-printed">printed 3\.80 \(CIFAR10\) <span class="stand-in">stand-in</span>', found)


def test_a_missing_value_shows_its_reason(run):
    found = section(run, "table-1")
    assert found.count('title="would take 3 hours &lt;b&gt;here&lt;/b&gt;">—</span>') == 4
    assert len(re.findall(r'<li id="table-1-\d-\d-a"><span class="mark">a</span> would take 3 hours', found)) == 4


def test_a_column_without_any_value_gives_way_to_its_reason(run):
    found = section(run, "table-1").split("<h4>")[2].split("T = 1000")[0]
    assert "FID" not in found.split("<tbody>")[0]
    assert "no FID here: scored at the T of the &lt;i&gt;scores&lt;/i&gt; only" in found
    assert "No FID here: scored at" in (run.out / "summary.md").read_text()


def test_projected_values_look_different(run):
    found = section(run, "table-1")
    assert found.count('<span class="kind">projected</span>') == found.count('<td class="num projected"') == 12


def test_records_of_other_code_are_marked_wherever_they_appear(run, pages):
    found = section(run, "table-1")
    assert "stale: 1 of 2 made by other code" in found
    assert re.findall(r'(\w+)/ddim/0\.csv</code></a> <span class="chip stale">stale', found) == ["tissue"]
    assert "stale" not in section(run, "figure-1").split("</header>")[0]
    assert "1 of 2 records were made by other code" in " ".join(pages["index.html"].words.split())


def test_verdicts_show_their_interval_and_what_they_need(run):
    found = section(run, "claim-ddim-04")
    assert "[0.55, 0.71]" in found
    assert "Needs: cuda" in found
    assert "not testable at this scale" in found
    assert 'class="threshold"' in found


def test_a_verdict_by_the_accepted_tables_of_another_scale_stands_beside_the_runs_own(run, pages):
    found = section(run, "claim-ddim-04").split('<details class="elsewhere">')[1]
    assert "Accepted at large, 2024-05-01" in found
    assert '<span class="chip contradicted">' in found
    assert "Numbers behind the verdict on ddim-04 at large" in found
    assert "accepted at large, 2024-05-01: contradicted" in " ".join(pages["index.html"].words.split())
    assert "elsewhere" not in section(run, "claim-ddim-01")


def test_the_summary_and_a_csv_a_table_are_there_for_machines(run):
    summary = (run.out / "summary.md").read_text()
    assert "Accepted at large: contradicted." in summary
    assert "**ddim-02** contradicted" in summary
    assert "printed 3.80 (CIFAR10, stand-in)" in summary
    copied = (run.out / "tables/deq-ddim/table-1.csv").read_bytes()
    assert copied == (run.root / "results/tiny/tables/deq-ddim/table-1.csv").read_bytes()


def test_two_builds_are_the_same_bytes(run):
    first = {path: path.read_bytes() for path in run.out.rglob("*") if path.is_file()}
    run.build()
    assert {path: path.read_bytes() for path in run.out.rglob("*") if path.is_file()} == first


def test_a_site_without_any_results_lists_everything_as_not_measured(run, tmp_path):
    for name in ("deqbench", "reports/templates", "reports/static"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(run.root / name)
    index = site.build(config(), "config/tiny.yaml", tmp_path, find_trail=lambda exhibit: None)
    text = index.read_text()
    assert "0 of 29 measured" in text
    assert "none yet" in text


def test_every_method_is_listed_with_what_it_needs_and_cannot_do(pages):
    words = " ".join(pages["index.html"].words.split()).split("What each needs and cannot do")[1]
    rows = index.methods()
    assert any(row["needs"] for row in rows) and any(row["cannot"] for row in rows)
    for row in rows:
        told = [f"{what}: {reason}" for name in ("needs", "cannot") for what, reason in row[name].items()]
        assert all(text in words for text in (row["method"], *told))


def test_a_method_that_lacks_something_here_is_named_with_the_reason(run, tmp_path, monkeypatch):
    lacking = {"kind": "sampler", "method": "fast", "needs": {"tpu": "it runs there"}, "missing": {"tpu": HOSTILE}}
    monkeypatch.setattr(index, "methods", lambda: [{**lacking, "cannot": {}, "options": {}}])
    for name in ("deqbench", "reports/templates", "reports/static"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(run.root / name)
    page = Page(site.build(config(), "config/tiny.yaml", tmp_path, find_trail=lambda exhibit: None).read_text())
    words = " ".join(page.words.split())
    assert f"Not usable on this machine: sampler fast, which needs tpu ({HOSTILE})." in words
    assert "tpu missing: it runs there" in words


def test_no_paper_is_named_by_the_report():
    sources = [*(REPOSITORY / "deqbench/report").glob("*.py"), *(REPOSITORY / "reports/templates").glob("*")]
    assert len(sources) > 20
    assert [(path.name, name) for path in sources for name in papers.PAPERS if name in path.read_text()] == []


def test_numbers_keep_their_digits_and_need_no_exponent():
    shown = [number(value, ".3g") for value in (0.4999, 12.04, 1234.0, 20.0, 9.5, 1.23e-7, -0.00012)]
    assert shown == ["0.500", "12.0", "1230", "20", "9.5", f"1.23{TIMES}10⁻⁷", f"{MINUS}0.00012"]
    assert [number(value, ".0f") for value in (2.6, float("inf"))] == ["3", "inf"]
    assert number(2.3e-7, ".1g") == f"2{TIMES}10⁻⁷"
    assert [number(1e4, "d"), number(0.25, "+.2f")] == ["10000", "+0.25"]


def test_notes_are_lettered_beyond_z():
    assert [letter(at) for at in (0, 25, 26, 27, 52)] == ["a", "z", "aa", "ab", "ba"]


def test_metrics_that_the_spec_forgot_are_shown_too(tmp_path):
    write_frame(tmp_path / "cells.csv", pd.concat([cells(), cells().assign(metric="surprise")]))
    exhibit = replace(papers.exhibit("deq-ddim/table-1"), spec=SPECS["deq-ddim/table-1"])
    found = blocks(exhibit, read_cells(tmp_path / "cells.csv"))
    assert [column.id for column in found[0].columns] == ["fid", "time", "time_ratio", "nfe", "surprise"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": ".3z"}, "expected a number format such as .3g; found '.3z'"),
        ({"method": None}, "expected the columns method that the table's spec names"),
        ({"printed_row": None}, "found none named printed_row"),
    ],
)
def test_cells_of_another_form_are_refused_in_one_sentence(tmp_path, change, message):
    frame = cells().assign(**change)
    write_frame(tmp_path / "cells.csv", frame.drop(columns=[name for name, value in change.items() if value is None]))
    exhibit = replace(papers.exhibit("deq-ddim/table-1"), spec=SPECS["deq-ddim/table-1"])
    with pytest.raises(UserError, match=re.escape(message)):
        blocks(exhibit, read_cells(tmp_path / "cells.csv"), "cells.csv")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": "ddim-1"}, r"expected one of ddim-01.*; found 'ddim-1' \(did you mean 'ddim-\d+'\?\)"),
        ({"id": "ddim-01", "verdict": "reproduce"}, r"did you mean 'reproduced'\?"),
        (
            {"id": "ddim-01", "elsewhere": [{"scale": "a", "verdict": "maybe"}]},
            r"ddim-01.elsewhere.*verdict.*found \"maybe\"",
        ),
    ],
)
def test_verdicts_of_another_form_are_refused_in_one_sentence(tmp_path, entry, message):
    write_json(tmp_path / "claims/deq-ddim.json", [entry])
    with pytest.raises(UserError, match=message):
        ledger.claims("deq-ddim", tmp_path)


def test_thresholds_in_words_are_printed_and_their_limits_drawn(tmp_path):
    measured = {
        "label": "x",
        "value": 0.1,
        "low": 0.0,
        "high": 0.2,
        "threshold": "margin 0.4",
        "limits": [-0.4, 0.4],
        "n": 3,
        "verdict": "reproduced",
    }
    write_json(tmp_path / "claims/deq-ddim.json", [{**verdicts()[0], "measured": [measured]}])
    found = ledger.claims("deq-ddim", tmp_path)[0].measured[0]
    assert (found.threshold, ledger.strip(found)["limits"]) == ("margin 0.4", [6.0, 94.0])


def test_no_printed_value_is_lost_in_the_grid_of_printed_values():
    for exhibit in (exhibit for paper in papers.PAPERS for exhibit in papers.exhibits(paper) if exhibit.printed):
        grid = printed_grid(exhibit)
        shown = Counter(word for row in grid.rows for cell in row for word in [cell.split(" ± ")[0].split(" (")[0]])
        printed = Counter(text.split(" (")[0] for text in papers.printed(exhibit)["value"] if text)
        assert printed - shown == Counter(), exhibit.id


def test_infinite_values_are_shown_as_such(tmp_path):
    frame = cells()
    frame.loc[0, "value"] = np.inf
    write_frame(tmp_path / "cells.csv", frame)
    exhibit = replace(papers.exhibit("deq-ddim/table-1"), spec=SPECS["deq-ddim/table-1"])
    cell = blocks(exhibit, read_cells(tmp_path / "cells.csv"))[0].rows[0][1][0]
    assert (cell.text, cell.sort) == ("inf", "")


def test_cells_are_read_as_text_so_that_printed_digits_survive(tmp_path):
    write_frame(tmp_path / "cells.csv", cells())
    assert set(read_cells(tmp_path / "cells.csv")["printed"]) == {"", "3.80"}
    assert pd.read_csv(tmp_path / "cells.csv")["printed"].dropna().iloc[0] == 3.8
