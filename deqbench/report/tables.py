"""Tables as cells: which records fill which cell, which printed value stands beside it. A pure function of records."""

from typing import Any

import pandas as pd

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.report.losses import REDUCED
from deqbench.report.measured import measured
from deqbench.report.printed import Printed
from deqbench.scale import Config

COLUMNS = (
    "paper exhibit dataset stands_in_for T method method_label metric metric_label unit direction value low high n"
    " statistic printed printed_row relation format kind note"
).split()


def cells(exhibit: Exhibit, records: pd.DataFrame, config: Config) -> pd.DataFrame:
    """One row a cell of an exhibit whose spec names its records, in the order of groups and methods.

    Columns: COLUMNS, and further keys of a group where the spec's `group` names more than data set and T. A cell that
    no record fills has value NaN and a note saying why.

    UserError: the exhibit has no spec with metrics, or no records.
    """
    spec = exhibit.spec
    if not spec.metrics:
        raise UserError(
            f"{exhibit.paper}/{exhibit.id}: expected a spec with metrics in {exhibit.kind}s.yaml; found none"
        )
    paper = config.papers.of(exhibit.paper)
    section = paper.experiment(spec.experiment)
    if records.empty:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records of {spec.experiment}; found none")
    for key, values in spec.only.items():
        records = records[records[key].isin(values)]
    baseline = str(spec.baseline or getattr(section, "baseline", None) or getattr(paper, "baseline", ""))
    by = list(spec.group)
    at = COLUMNS.index("method")
    columns = [*COLUMNS[:at], *(key for key in by if key not in COLUMNS), *COLUMNS[at:]]
    columns = [name for name in columns if name != "T" or name in by]
    if spec.reduce:
        records = REDUCED[spec.reduce](records, baseline)
        if records.empty:  # such as one chain length only, where lengths are compared
            return pd.DataFrame(columns=columns)
    rows = []
    for place, group in records.groupby(by, sort=False):
        keys = dict(zip(by, place, strict=True))
        printed = Printed.of(exhibit, config, keys)
        for method in _in_order(group["method"].unique(), paper):
            mine = group[group["method"] == method]
            for metric in spec.metrics:
                row = {"paper": exhibit.paper, "exhibit": exhibit.id, **keys, "method": method}
                row |= {"stands_in_for": printed.dataset if printed.relation == "stand-in" else ""}
                row |= {"method_label": spec.labels.get(method, method), "metric": metric.id, "kind": "measured"}
                row |= {"metric_label": metric.label, "unit": metric.unit}
                row |= {"direction": metric.direction, "format": metric.format}
                row |= measured(metric, mine, group, metric.baseline or baseline, spec.pairs)
                rows.append(row | printed.cell(exhibit, metric, method, baseline))
    found = pd.DataFrame(rows, columns=columns)
    order = {name: place for place, name in enumerate(config.subjects)}
    found["place"] = found["dataset"].map(order)
    return found.sort_values(["place", *by[1:]], kind="stable").drop(columns="place").reset_index(drop=True)


def _in_order(methods: Any, paper: Any) -> list[str]:
    known = [*getattr(paper, "methods", {}), *getattr(paper, "inverters", {})]
    return sorted(methods, key=lambda name: (known.index(name) if name in known else len(known), name))
