"""Beside a cell of a table with several data sets stands the row of the one that is stood in for, at its checkpoint."""

import pandas as pd
import pytest

from deqbench import papers, scale
from deqbench.report import tables
from tests.scales import smoke

TABLE = papers.exhibit("deq-score-matching/table-1")
CONFIG = scale.validate(smoke(), "some.yaml")
FACTS = {"paper": "deq-score-matching", "experiment": "vae", "dataset": "digits", "size": "8x8x1", "unit": ""}


def printed(method, metric):
    rows = [
        {**FACTS, "method": method, "metric": "distance", "value": 1.0, "seed": s, "share": share}
        for share in (10, 50, 100)
        for s in range(2)
    ]
    rows += [{**FACTS, "method": method, "metric": "saved_bytes", "value": 5.0, "seed": None, "share": None}]
    found = tables.cells(TABLE, pd.DataFrame(rows), CONFIG).set_index("metric").loc[metric]
    return found["printed"], found["relation"]


@pytest.mark.parametrize(
    ("method", "metric", "value"),
    [
        ("ssm-vae", "distance_10", "131.74"),
        ("ssm-vae", "distance_100", "77.35"),
        ("deq-vae-exact", "distance_50", "77.72"),
        ("aug-16", "update_bytes", "14"),
    ],
)
def test_the_row_of_cifar10_at_the_checkpoint_is_printed(method, metric, value):
    assert printed(method, metric) == (value, "stand-in")
