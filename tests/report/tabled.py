"""Made-up records of a small table, and what its cells hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from deqbench import papers, scale
from deqbench.papers.spec import Spec
from deqbench.report import tables

SMOKE = Path(__file__).parents[2] / "config/smoke.yaml"
RNG = np.random.default_rng(3)
QUALITY = RNG.normal(2, 1, 12)
ROUNDS = RNG.integers(8, 16, 12).astype(float)
GOOD = np.array([1.0] * 9 + [0.0] * 3)
TIMES = {"ddim": RNG.lognormal(0, 0.2, 12), "deq-ddim-paper": RNG.lognormal(-1, 0.3, 12)}
SPEC = {
    "experiment": "table-1",
    "labels": {"ddim": "DDIM, step by step"},
    "printed_methods": {"ddim": "DDIM", "deq-ddim-paper": "DEQ-DDIM"},
    "metrics": [
        {
            "id": "quality",
            "label": "quality",
            "unit": "points",
            "direction": "lower",
            "printed": "FID",
            "format": ".2f",
        },
        {"id": "rounds", "label": "rounds", "statistic": "median", "absent": "not counted here"},
        {"id": "good", "label": "share", "statistic": "share"},
        {"id": "time_s", "label": "time", "statistic": "time", "printed": "time per image"},
        {"id": "ratio", "label": "speed-up", "ratio_of": "time_s", "printed": "time per image"},
    ],
}
EXHIBIT = papers.Exhibit(
    paper="deq-ddim",
    id="table-1",
    kind="table",
    number="Table 1",
    title="",
    caption="",
    printed="tables/table-1.csv",
    spec=Spec.model_validate(SPEC),
)


def config() -> scale.Config:
    """Digits stand in for CIFAR10; tissue is taken for CelebA itself; plain belongs to no printed row."""
    values = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
    digits = values["datasets"]["digits"]
    about = {key: value for key, value in digits.items() if key != "stands_in_for"}
    values["datasets"] = {"plain": about, "tissue": {**about, "printed_as": "CelebA"}, "digits": digits}
    values["papers"] = {"deq-ddim": values["papers"]["deq-ddim"]}
    return scale.validate(values, "test")


def rows(method, metric, values, dataset="digits", T=10):
    keys = {"paper": "deq-ddim", "experiment": "table-1", "dataset": dataset, "T": T, "method": method}
    return [{**keys, "metric": metric, "unit": "", "image": i, "value": value} for i, value in enumerate(values)]


def records(dataset="digits", T=10):
    found = rows("ddim", "quality", QUALITY, dataset, T) + rows("ddim", "rounds", ROUNDS, dataset, T)
    found += rows("deq-ddim-paper", "quality", QUALITY + 1, dataset, T)
    found += rows("deq-ddim-paper", "good", GOOD, dataset, T)
    for method, times in TIMES.items():
        found += rows(method, "time_s", times, dataset, T)
    return pd.DataFrame(found)


def cell(method, metric, found=None, dataset="digits"):
    found = tables.cells(EXHIBIT, records(), config()) if found is None else found
    (place,) = found.index[(found[["method", "metric", "dataset"]] == (method, metric, dataset)).all(axis=1)]
    return found.loc[place]


def interval(found):
    return [found["value"], found["low"], found["high"]]
