"""Charts: groups look as what they are, one legend holds what is drawn, and the page has it in words too."""

import re

import pandas as pd
import pytest

from deqbench.report.charts import COLOURS, OURS, charts, labelled, looks, span

LABELS = {name: name.upper() for name in ("peer", "mine", "mine-too", "else")}
GROUPS = {"ours": ["mine-too", "mine"], "rivals": ["else"]}


def test_ours_are_dark_and_thick_and_other_results_dotted():
    lines = looks(LABELS, **GROUPS)
    assert [lines[name].colour for name in LABELS] == [COLOURS[0], OURS[1], OURS[0], COLOURS[3]]
    assert min(lines[name].width for name in GROUPS["ours"]) > lines["peer"].width
    assert [bool(look.dash) for look in lines.values()] == [False, False, False, True]


def test_no_two_of_many_lines_look_alike():
    many = looks({at: str(at) for at in range(40)})
    assert len({(look.colour, look.marker) for look in many.values()}) == 40
    few = looks({at: str(at) for at in range(4)}, dashed=True)
    assert len({look.dash for look in few.values()}) == 4


def test_labels_keep_the_order_of_the_spec_and_lose_no_method():
    assert labelled(pd.Series(["b", "new", "a", "b"]), {"c": "C", "b": "B"}) == {"b": "B", "a": "a", "new": "new"}


@pytest.mark.parametrize("long", [1, 30])
def test_the_legend_holds_the_lines_that_are_drawn_in_their_order_and_fits(tmp_path, long):
    lines = looks({name: label * long for name, label in LABELS.items()}, **GROUPS)
    with charts(tmp_path / "a.svg", (2, 2), (2.0, 2.0), lines) as drawing:
        for ax, name in zip(drawing.panels(["one", "two", "three"], "x", "y"), ("mine", "peer", ""), strict=True):
            if name:
                ax.plot([1, 2], [1, 2], label=lines[name].label, **lines[name].style(2))
    assert [ax.axison for ax in drawing.axes.flat] == [True, True, False, False]
    entry = drawing.entry("title", "words")
    assert [line["label"] for line in entry["legend"]] == ["PEER" * long, "MINE" * long]
    (box,) = (legend.get_window_extent() for legend in drawing.figure.legends)
    assert box.width <= drawing.figure.bbox.width
    assert entry["width"] == round(110 * drawing.size[0])
    assert re.search(OURS[1], (tmp_path / "a.svg").read_text())


def test_the_page_has_the_legend_in_words_beside_the_drawing(run):
    page = (run.out / "deq-ddim.html").read_text()
    (lines,) = re.findall(r'<ul class="lines".*?</ul>', page, re.DOTALL)
    assert re.findall(r"</svg> (.*?)</li>", lines) == ["T = 10", "T = 50", "T = 100"]
    assert re.findall(r'stroke="(.*?)"', lines) == list(COLOURS[:3])


def test_a_number_of_images_is_one_number_or_a_span():
    assert [span(pd.Series(n)) for n in ([8, 8], [5, 8])] == ["8", "5 to 8"]
