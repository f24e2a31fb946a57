"""An exhibit is made from the files of its experiment, or from those that its spec names, and from no others."""

from dataclasses import replace
from pathlib import Path

from deqbench import papers
from deqbench.papers.spec import Spec
from deqbench.report.sources import made_from, of_figure, of_table

FOLDER = Path("results/demo/deq-ddim")
NAMES = ("figure-1/a.csv", "figure-1/b/c.parquet", "figure-1/d.safetensors", "figure-10/a.csv", "figure-17/a.parquet")
RECORDS = [FOLDER / name for name in NAMES]
METRIC = {"id": "m", "label": "m"}
CURVES = {"kind": "curves", "x": "round", "y": ["m"], "lines": "T"}


def exhibit(**spec):
    return replace(papers.exhibit("deq-ddim/figure-1"), spec=Spec.model_validate({"experiment": "figure-1", **spec}))


def test_without_a_word_all_files_of_the_experiment_are_its_records():
    assert made_from(exhibit(), RECORDS) == RECORDS[:3]
    assert made_from(exhibit(records=["deq-ddim/figure-1/*.csv"]), RECORDS) == RECORDS[:1]
    assert made_from(replace(exhibit(), spec=Spec()), RECORDS) == []


def test_a_table_is_made_from_csv_or_from_traces_that_are_reduced():
    assert of_table(exhibit(), RECORDS) == []
    assert of_table(exhibit(metrics=[METRIC]), RECORDS) == RECORDS[:1]
    assert of_table(exhibit(metrics=[METRIC], reduce="by-rate"), RECORDS) == RECORDS[1:2]


def test_a_drawing_is_made_from_what_its_kind_draws():
    assert of_figure(exhibit(metrics=[METRIC]), RECORDS) == []
    assert of_figure(exhibit(drawing=CURVES), RECORDS) == RECORDS[1:2]
    assert of_figure(exhibit(drawing={"kind": "latents"}), RECORDS) == RECORDS[2:3]
