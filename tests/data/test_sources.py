"""The types of the sources' options are the arguments of the functions behind them, and light."""

import inspect
import subprocess
import sys
from typing import get_args

import pytest

from deqbench.data import datasets, sources, tables
from deqbench.errors import UserError

TYPES = {
    name: kind for kind in get_args(sources.AnySource) for name in get_args(kind.model_fields["source"].annotation)
}


def test_every_source_has_its_type_and_every_type_its_source():
    assert TYPES.keys() == datasets.DATASETS.keys()


@pytest.mark.parametrize("source", TYPES)
def test_a_type_s_fields_are_its_function_s_arguments(source):
    names = set(inspect.signature(datasets.DATASETS[source]).parameters)
    if "dealing" in names:
        names = names - {"dealing"} | {
            name for name, one in inspect.signature(tables.dealt).parameters.items() if one.kind is one.KEYWORD_ONLY
        }
    assert names == TYPES[source].model_fields.keys() - {"source"}


def test_the_types_load_neither_torch_nor_data_frames():
    code = "import sys, deqbench.data.sources; print({'torch', 'pandas', 'sklearn', 'matplotlib'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"source": "gausian"},
            "source: expected one of digits, .*; found 'gausian' .did you mean 'gaussian'..$",
        ),
        ({}, "source: expected a value; found none"),
        ({"source": "gaussian"}, "dimensions: expected a value; found none"),
        (
            {"source": "gaussian", "dimensions": 2, "condition": 0.5},
            "condition: expected a number greater than or",
        ),
        ({"source": "gaussian", "dimensions": 2, "dim": 3}, "dim: expected one of condition, dimensions, .*; found an"),
        ({"source": "table", "name": "wine", "test": 0.5}, "test: expected a number less than 0.5; found 0.5"),
        ({"source": "csv", "path": "x", "sha256": "abc"}, 'sha256: expected text of the form .* found "abc"$'),
        (
            {"source": "tasks", "of": "digts"},
            "of: expected one of digits, glyphs; found .* .did you mean 'digits'",
        ),
    ],
)
def test_options_out_of_bounds_are_one_sentence(values, sentence):
    with pytest.raises(UserError, match=f"^here: {sentence}"):
        sources.parse(values, "here")
