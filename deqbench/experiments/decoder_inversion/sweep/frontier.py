"""Error against seconds: every setting as a point, the Pareto frontier, and seconds to each level of a ladder."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deqbench.experiments.decoder_inversion.sweep.config import Ladder
from deqbench.experiments.decoder_inversion.sweep.timing import seconds
from deqbench.experiments.rows import Row
from deqbench.metrics.frontier import frontier

RUN = ["method", "rate", "budget"]  # what one run is known by


def clocked(traces: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The traces with nmse_db, and the seconds at which each iterate is at hand; methods not timed are left out."""
    timed = traces[traces["method"].isin(set(times["method"]))]
    parts = [
        part.assign(seconds=seconds(times, str(method), part["iteration"].to_numpy()))
        for method, part in timed.groupby("method", sort=False)
    ]
    clocked = pd.concat(parts, ignore_index=True) if parts else timed.assign(seconds=pd.Series(dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):
        return clocked.assign(nmse_db=10 * np.log10(clocked["nmse"]))


def points(traces: pd.DataFrame) -> pd.DataFrame:
    """One row a setting: method, precision, rate, budget, iteration, seconds, nmse_db (mean of dB), mean_db (dB of the
    mean), n, and frontier: whether no other setting is both faster and more accurate.

    traces: of `clocked`, at one model. A setting is an iterate of a run; settings that are not finite are left out.
    """
    by = [*RUN[:1], "precision", *RUN[1:], "iteration"]
    settings = traces.groupby(by, sort=True, dropna=False)
    frame = settings.agg(
        seconds=("seconds", "first"), nmse_db=("nmse_db", _whole_mean), n=("image", "count")
    ).reset_index()
    with np.errstate(invalid="ignore", divide="ignore"):
        frame["mean_db"] = 10 * np.log10(settings["nmse"].agg(_whole_mean).to_numpy(dtype=float))
    frame = frame[np.isfinite(frame["nmse_db"])].reset_index(drop=True)
    return frame.assign(frontier=frontier(frame["seconds"].to_numpy(), frame["nmse_db"].to_numpy()))


def _whole_mean(values: "pd.Series[float]") -> float:
    """The mean, NaN where one is not finite: an image that diverged is not left out."""
    return float(values.mean(skipna=False)) if np.isfinite(values).all() else float("nan")


def levels(traces: pd.DataFrame, ladder: Ladder) -> NDArray[np.float64]:
    """The ladder's levels in dB, falling: from the start to the best error of any method, means over images."""
    means = points(traces)["nmse_db"]
    start = traces[traces["iteration"] == 0].groupby("image")["nmse_db"].first().mean()
    highest, lowest = np.floor(start / ladder.step), np.ceil(means.min() / ladder.step)
    return np.arange(highest, lowest - 1, -1) * ladder.step


def reached(traces: pd.DataFrame, level: "float | pd.Series[float]") -> "pd.Series[float]":
    """Seconds until an image's error is first at most `level` in any run of a method, by image; NaN: never.

    level: dB, one number or one an image. traces: of `clocked`, of one method. Iterates are sought among those traced.
    """
    wanted = level if isinstance(level, float) else traces["image"].map(level)
    hits = traces[traces["nmse_db"] <= wanted]
    return hits.groupby("image")["seconds"].min().reindex(sorted(traces["image"].unique()))


def climb(traces: pd.DataFrame, ladder: Ladder) -> Iterator[Row]:
    """Records of each method and level: seconds by image (NaN: not reached), and the share that reaches it."""
    chosen = traces[traces["chosen"]]
    for level in levels(chosen, ladder):
        for method, part in chosen.groupby("method", sort=False):
            for image, value in reached(part, float(level)).items():
                about = {"method": method, "level": float(level), "image": image}
                yield {**about, "metric": "time_s", "value": value, "unit": "s"}
                yield {**about, "metric": "reached", "value": float(value == value), "unit": ""}


def midway(traces: pd.DataFrame, ladder: Ladder) -> Iterator[Row]:
    """Records by baseline (`against`), method and image: seconds to the level midway, in dB, from the encoder to the
    baseline's plateau, and what else is said against it.

    The plateau is the baseline's last iterate in its longest run; plateau_drop_db is what the last `within` iterations
    of that run still gained (NaN: it was shorter), so that the page can say whether it was one, and plateau_at is that
    last iteration. speedup: the baseline's seconds to the middle level over the method's (NaN: one of both never gets
    there). best_db is the least error of a method, and ends_lower_db how far that lies below the plateau. gain_db is
    the baseline's error at the end of its run of the smallest budget, less the method's least error within the same
    seconds (NaN: it has no iterate by then).
    """
    chosen = traces[traces["chosen"]]
    start = chosen[chosen["iteration"] == 0].groupby("image")["nmse_db"].first()
    for name in ladder.baselines:
        base = chosen[chosen["method"] == name]
        if base.empty:
            continue
        against = _Against(base, start, ladder)
        for method, part in chosen.groupby("method", sort=False):
            for row in against.compared(part, str(method) == name):
                yield {"against": name, "method": method, **row}


class _Against:
    """A baseline's plateau, the level midway to it, and its smallest budget, image by image."""

    def __init__(self, base: pd.DataFrame, start: "pd.Series[float]", ladder: Ladder) -> None:
        longest = base[base["budget"] == base["budget"].max()]
        last = int(longest["iteration"].max())
        self.last, self.end = last, _at(longest, last)
        self.gained = _at(longest, last - ladder.within).reindex(self.end.index) - self.end
        self.half = (start + self.end) / 2
        self.hit = reached(base, self.half)
        smallest = base[base["budget"] == base["budget"].min()]
        early = smallest[smallest["iteration"] == smallest["iteration"].max()]  # before its budget at a plateau
        self.first, self.until = early.groupby("image")["nmse_db"].min(), float(early["seconds"].max())

    def compared(self, part: pd.DataFrame, itself: bool) -> Iterator[Row]:
        """Records of one method, with its image."""
        hit, best = reached(part, self.half), part.groupby("image")["nmse_db"].min()
        within = part[part["seconds"] <= self.until].groupby("image")["nmse_db"].min().reindex(self.end.index)
        columns = {
            "midway_s": (hit, "s"),
            "midway_reached": (hit.notna().astype(float), ""),
            "midway_db": (self.half, "dB"),
            "speedup": (self.hit / hit, ""),
            "gain_db": (self.first - within, "dB"),
            "best_db": (best, "dB"),
            "ends_lower_db": (self.end - best, "dB"),
        }
        if itself:
            columns["plateau_drop_db"] = self.gained, "dB"
            columns["plateau_at"] = pd.Series(float(self.last), index=self.end.index), "iterations"
        for metric, (values, unit) in columns.items():
            for image in self.end.index:
                yield {"image": image, "metric": metric, "value": float(values[image]), "unit": unit}


def _at(traces: pd.DataFrame, iteration: int) -> "pd.Series[float]":
    return traces[traces["iteration"] == iteration].groupby("image")["nmse_db"].first()


def runtimes(times: pd.DataFrame, budgets: dict[str, list[int]], ran: dict[str, int]) -> Iterator[Row]:
    """Records of run_s by method, declared budget and timed image: a budget that was not timed is extended linearly.

    ran: the iterations of each method's longest run, for one that stopped at its plateau takes no longer.
    An encoder, which has no iterations, stands at every budget.
    """
    declared = sorted({b for rising in budgets.values() for b in rising})
    for (method, image), part in times.groupby(["method", "image"], sort=False):
        last = ran[str(method)]
        wanted = np.array(budgets.get(str(method), []) if last else declared)
        taken = np.minimum(wanted, last)
        for budget, value in zip(wanted, seconds(part, str(method), taken) if len(wanted) else [], strict=True):
            about = {"method": method, "iterations": int(budget), "image": image}
            yield {**about, "metric": "run_s", "value": float(value), "unit": "s"}
