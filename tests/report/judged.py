"""Made-up cells and claims, and the verdicts on them."""

from pathlib import Path

import pandas as pd

from deqbench import scale
from deqbench.papers import Claim
from deqbench.report.claims import judge
from deqbench.report.tables import COLUMNS

SMOKE = scale.load(Path(__file__).parents[2] / "config/smoke.yaml")
EXHIBIT = "deq-ddim/table-1"
WORDS = dict.fromkeys(("statement", "where", "evidence", "check"), "so it is")
SHARE = {"kind": "share", "exhibit": EXHIBIT, "method": "ours", "metric": "m", "at_least": 0.5}
EQUIVALENCE = {
    "kind": "equivalence",
    "exhibit": EXHIBIT,
    "method": "ours",
    "metric": "difference",
    "margin_share": 0.1,
    "margin_of": {"method": "base", "metric": "score"},
    "control": "bad",
}


def row(method, metric, value, low, high, *, dataset="digits", T=25, n=40, exhibit="table-1"):
    found = {"paper": "deq-ddim", "exhibit": exhibit, "dataset": dataset, "T": T, "method": method, "metric": metric}
    found |= {"value": value, "low": low, "high": high, "n": n, "method_label": method, "metric_label": metric}
    return dict.fromkeys(COLUMNS, "") | found | {"stands_in_for": "CIFAR10" if dataset == "digits" else ""}


def claim(predicates, **about) -> Claim:
    return Claim.model_validate({"id": "c-1", **WORDS, "predicates": predicates, **about})


def verdict(predicates, rows, **about):
    """The verdict on a claim of these predicates, and all that is said with it."""
    found = judge(claim(predicates, **about), pd.DataFrame(rows), SMOKE)
    return found["verdict"], found
