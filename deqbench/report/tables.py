"""Tables as cells: which records fill which cell, which printed value stands beside it. A pure function of records."""

from itertools import product
from typing import Any

import pandas as pd

from deqbench.errors import UserError
from deqbench.papers import Exhibit
from deqbench.papers.spec import Metric, Spec
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
    spec, place = exhibit.spec, f"{exhibit.paper}/{exhibit.id}"
    if not spec.metrics:
        raise UserError(f"{place}: expected a spec with metrics in {exhibit.kind}s.yaml; found none")
    if records.empty:
        raise UserError(f"{place}: expected records of {spec.experiment}; found none")
    for key, values in spec.only.items():
        records = records[records[key].isin(values)]
    paper, by = config.papers.of(exhibit.paper), list(spec.group)
    baseline = _baseline(spec, paper)
    if spec.reduce:
        records = REDUCED[spec.reduce](records, baseline)
    rows = []
    for at, group in records.groupby(by, sort=False) if len(records) else ():  # one chain length has none to compare
        keys = dict(zip(by, at, strict=True))
        printed, methods = Printed.of(exhibit, config, keys), _in_order(group["method"].unique(), paper, spec.labels)
        for method, metric in product(methods, spec.metrics):
            rows.append(keys | _cell(exhibit, metric, method, group, printed, baseline))
    order = {name: at for at, name in enumerate(config.subjects)}
    made = pd.DataFrame(rows, columns=_columns(by))
    made = made.assign(place=made["dataset"].map(order)).sort_values(["place", *by[1:]], kind="stable")
    return made.drop(columns="place").reset_index(drop=True)


def _baseline(spec: Spec, paper: Any) -> str:
    """The method that others are compared with: the spec's, the experiment's or the paper's."""
    section = paper.experiment(spec.experiment)
    return str(spec.baseline or getattr(section, "baseline", None) or getattr(paper, "baseline", ""))


def _columns(group: list[str]) -> list[str]:
    """COLUMNS with the further keys of a group before the method, and T only where it is a key."""
    at = COLUMNS.index("method")
    columns = [*COLUMNS[:at], *(key for key in group if key not in COLUMNS), *COLUMNS[at:]]
    return [name for name in columns if name != "T" or name in group]


def _cell(
    exhibit: Exhibit, metric: Metric, method: str, group: pd.DataFrame, printed: Printed, baseline: str
) -> dict[str, Any]:
    """A row of `cells` without the group's keys. group: the records of its block."""
    spec, mine = exhibit.spec, group[group["method"] == method]
    return {
        "paper": exhibit.paper,
        "exhibit": exhibit.id,
        "stands_in_for": printed.dataset if printed.relation == "stand-in" else "",
        "method": method,
        "method_label": spec.labels.get(method, method),
        "metric": metric.id,
        "metric_label": metric.label,
        **metric.model_dump(include={"unit", "direction", "format"}),
        "kind": "measured",
        **measured(metric, mine, group, metric.baseline or baseline, spec.pairs),
        **printed.cell(exhibit, metric, method, baseline),
    }


def _in_order(methods: Any, paper: Any, labels: dict[str, str]) -> list[str]:
    """The methods in the config's order, then in that of their labels, then by name."""
    known = [*getattr(paper, "methods", {}), *getattr(paper, "inverters", {}), *labels]
    return sorted(methods, key=lambda name: (known.index(name) if name in known else len(known), name))
