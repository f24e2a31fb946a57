"""Records from the traces of inversions: losses over the updates at one rate, at equal updates, and over chain lengths.

Traces have rows paper, experiment, dataset, method, T, image, lr, chosen (whether lr is the method's best), epoch (the
number of the update), metric and value; those of metric `loss` are read. With noise in the chain they have eta too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

PLACE = ["paper", "experiment", "dataset", "T", "eta"]


def _rows(keys: dict[str, Any], by_metric: dict[str, float]) -> list[dict[str, Any]]:
    return [{**keys, "metric": name, "value": value, "unit": ""} for name, value in by_metric.items()]


def _groups(traces: pd.DataFrame, by: list[str]) -> Any:
    """Keys and rows of each group, of the keys that the traces have."""
    by = [key for key in by if key in traces]
    for key, part in traces.groupby(by, sort=True, dropna=False):
        yield dict(zip(by, key, strict=True)), part


def _rated(traces: pd.DataFrame) -> pd.DataFrame:
    return traces[(traces["metric"] == "loss") & traces["lr"].notna()]


def _chosen(traces: pd.DataFrame) -> pd.DataFrame:
    rated = _rated(traces)
    return rated[rated["chosen"].astype(bool)]


def by_rate(traces: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Records of each method, rate and image: first_loss, final_loss, lowest_loss, over_updates, above_smallest_rate.

    over_updates is the geometric mean over the updates (trapezoids of the logarithm), so that an early and a late fall
    both count; none where a loss is not finite. above_smallest_rate: 1 where the last loss is not finite or above the
    one at the smallest of the method's rates, none at that rate itself.
    """
    rows: list[dict[str, Any]] = []
    for keys, run in _groups(_rated(traces), [*PLACE, "method", "image"]):
        last: dict[float, float] = {}
        for lr, part in run.groupby("lr", sort=True):
            part = part.sort_values("epoch")
            values, epochs = part["value"].to_numpy(dtype=float), part["epoch"].to_numpy(dtype=float)
            by_metric = {"first_loss": values[0], "final_loss": values[-1], "lowest_loss": np.nanmin(values)}
            if len(values) > 1 and (values > 0).all() and np.isfinite(values).all():
                by_metric["over_updates"] = np.exp(np.trapezoid(np.log(values), epochs) / (epochs[-1] - epochs[0]))
            if last:
                by_metric["above_smallest_rate"] = float(not values[-1] <= min(last.items())[1])
            last[float(lr)] = values[-1]
            rows += _rows({**keys, "lr": lr}, by_metric)
    return pd.DataFrame(rows)


def equal_updates(traces: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Records of each other method and image, after as many updates as both it and the baseline have: equal_updates,
    loss_by_then and baseline_by_then, the smallest loss that each of them has recorded within so many.

    Each method at its best rate; methods without one are left out.
    """
    rows: list[dict[str, Any]] = []
    for keys, runs in _groups(_chosen(traces), [*PLACE, "image"]):
        base = runs[runs["method"] == baseline]
        for method, mine in runs.groupby("method", sort=True):
            if method == baseline or base.empty:
                continue
            budget = min(mine["epoch"].max(), base["epoch"].max())
            then = [part.loc[part["epoch"] <= budget, "value"].min() for part in (mine, base)]
            by_metric = dict(zip(("equal_updates", "loss_by_then", "baseline_by_then"), (budget, *then), strict=True))
            rows += _rows({**keys, "method": method}, by_metric)
    return pd.DataFrame(rows)


def over_lengths(traces: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Records of each other method and image, spread_over_lengths and the baseline's, baseline_spread: the largest loss
    over the smallest among the chain lengths after equally many updates, as a geometric mean over the updates that both
    methods have recorded at all lengths, the start left out.

    Each length at the rate that is best for it; none where there is one length only.
    """
    rows: list[dict[str, Any]] = []
    chosen = _chosen(traces)
    for keys, runs in _groups(chosen[chosen["epoch"] > 0], ["paper", "experiment", "dataset", "image"]):
        spreads = {method: _spread(part) for method, part in runs.groupby("method", sort=True)}
        for method, mine in spreads.items():
            if method == baseline or baseline not in spreads:
                continue
            both = pd.DataFrame({"spread_over_lengths": mine, "baseline_spread": spreads[baseline]}).dropna()
            if len(both):
                rows += _rows({**keys, "method": method}, np.exp(both.mean()).to_dict())
    return pd.DataFrame(rows)


def _spread(part: pd.DataFrame) -> pd.Series:
    """The logarithm of the largest loss over the smallest, by update; empty where there is one length only."""
    losses = part.pivot_table(index="epoch", columns="T", values="value").dropna()
    logs = np.log(losses[(losses > 0).all(axis=1)])
    return (logs.max(axis=1) - logs.min(axis=1)) if losses.shape[1] > 1 else pd.Series(dtype=float)


REDUCED: dict[str, Callable[[pd.DataFrame, str], pd.DataFrame]] = {
    "by-rate": by_rate,
    "equal-updates": equal_updates,
    "over-lengths": over_lengths,
}
