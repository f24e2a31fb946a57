"""Inversions against the clock: seconds of an update or of a whole run, and the loss reached by each second."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch

from deqbench.data.checkpoints import Network
from deqbench.data.datasets import Dataset
from deqbench.diffusion.inverters import invert
from deqbench.experiments.deq_ddim.chains import CALIBRATION, predictor
from deqbench.experiments.deq_ddim.inversion.config import Chains
from deqbench.experiments.deq_ddim.inversion.job import RaceJob, TimeJob
from deqbench.experiments.deq_ddim.shared import Inverter
from deqbench.experiments.deq_ddim.targets import Targets, targets
from deqbench.experiments.rows import Row
from deqbench.measure.clock import Stopwatch


@torch.no_grad()
def clocked(
    sought: Targets, inverter: Inverter, rate: float, epochs: int, device: str
) -> tuple[float, float, Stopwatch]:
    """Seconds until the start was at hand, seconds in all, and the updates between, of one image."""
    options = inverter.options | ({"lr": rate, "epochs": epochs} if inverter.descends else {})
    watch = Stopwatch(device, lambda step: step.number)
    chain = sought.start(inverter.start)
    begun = watch.seconds()
    invert(inverter.inverter, chain, sought.images, options, watch)
    return begun, watch.seconds(), watch


def times(network: Network, data: Dataset, job: TimeJob, dataset: str) -> Iterator[tuple[list[Row], list[Row]]]:
    """By T and eta: records of seconds, and of the methods without updates the seconds after each step.

    One image at a time, methods in turn; a first image at the first T warms up. A descent's update takes the same time
    whatever the image and the rate, so a few of them are timed; other methods run to their end. What they had reached
    by then is known from their runs, see `race`.
    """
    network.net.requires_grad_(False)
    eps = predictor(network, job.device, job.max_batch)
    for place, (T, chains) in enumerate(job.chains[dataset].items()):
        for at, eta in enumerate(job.eta or [0.0]):
            records: list[Row] = []
            rows: list[Row] = []
            keys = {"T": T, **({"eta": eta} if job.eta else {})}
            warm_up = [CALIBRATION] if place == at == 0 else []
            for image in [*warm_up, *range(max(chains.timed, chains.raced or 0))]:
                sought = targets(network, eps, data, job.grids[dataset], T, eta, job.seed, [image])
                for name, told in _turn(sought, job, chains, image):
                    about = {"method": name, **keys, "image": image}
                    (rows if "step" in told else records).append(about | told)
            yield records, rows


def _turn(sought: Targets, job: TimeJob, chains: Chains, image: int) -> Iterator[tuple[str, Row]]:
    """Method and record, or row of a trace, of one image by each method in turn; none of the one that warms up."""
    for name in chains.inverters or ():
        inverter = job.inverters[name]
        if image == CALIBRATION:
            clocked(sought, inverter, job.rate, 1, job.device)
            continue
        if image >= ((chains.timed if inverter.descends else chains.raced) or 0):
            continue
        epochs = chains.timed_epochs + 1  # the first update warms up
        begun, total, watch = clocked(sought, inverter, job.rate, epochs, job.device)
        if inverter.descends:
            seconds = (watch.told[-1][0] - watch.told[1][0]) / chains.timed_epochs
            yield name, {"metric": "epoch_s", "value": seconds, "unit": "s"}
            if inverter.start == "encoding":
                yield name, {"metric": "start_s", "value": begun, "unit": "s"}
            continue
        yield name, {"metric": "total_s", "value": total, "unit": "s"}
        # An encoding start is told as step 0 once more, when it is at hand.
        for number, at in {number: at for at, number in watch.told}.items():
            yield name, {"step": number, "metric": "elapsed_s", "value": at, "unit": "s"}


def race(
    records: pd.DataFrame, traces: pd.DataFrame, times: pd.DataFrame, steps: pd.DataFrame, job: RaceJob
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seconds until each method is as low as the baseline, and the loss by second; an image not timed is left out.

    records, traces: of `measure.run`, at the chosen rate; times, steps: of `times`. A descent reaches what it does
    after an update at that many times the mean seconds of one; another method what its run has reached after a step
    when its image, alone, has done that step.
    """
    keys = ["dataset", "T", *(["eta"] if "eta" in records else [])]
    least = records[records["metric"] == "min_loss"]
    curves, rows = [], []
    for place, share in times.groupby(keys):
        about: dict[str, Any] = dict(zip(keys, place, strict=True))
        ends, losses, timed = (_at(frame, about) for frame in (least, traces, steps))
        curve, budgets = _curve(ends, losses, timed, share, job)
        curves.append(curve.assign(**about))
        finish = {name: ends[ends["method"] == name].set_index("image")["value"] for name in _baselines(job)}
        for (method, image), line in curve.groupby(["method", "image"], sort=False):
            told = _reached(line, finish[job.baseline].get(image), "time_to_s", "reached_baseline")
            if job.baseline_encoded and method in job.encoded:
                told += _reached(line, finish[job.baseline_encoded].get(image), "time_to_encoded_s", "reached_encoded")
            if budgets:
                seconds = min(budgets.values())
                within = line.loc[line["seconds"] <= seconds, "value"].min()
                told += [("equal_seconds_loss", within, ""), ("equal_seconds", seconds, "s")]
            head = {"method": method, **about, "image": image}
            rows += [{**head, "metric": metric, "value": value, "unit": unit} for metric, value, unit in told]
    columns = ["method", *keys, "image", "metric", "value", "unit"]
    drawn = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=[*columns, "seconds"])
    return pd.DataFrame(rows, columns=columns), drawn


def _baselines(job: RaceJob) -> list[str]:
    return [job.baseline, *([job.baseline_encoded] if job.baseline_encoded else [])]


def _at(frame: pd.DataFrame, about: dict[str, Any]) -> pd.DataFrame:
    for key, value in about.items() if len(frame) else ():
        frame = frame[frame[key] == value]
    return frame


def _curve(
    least: pd.DataFrame, traces: pd.DataFrame, steps: pd.DataFrame, times: pd.DataFrame, job: RaceJob
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Method, image, seconds, metric, value (the loss then); and the seconds of budgets as long as the baseline's."""
    mean = times.groupby(["method", "metric"])["value"].mean()
    losses = traces[traces["chosen"] & (traces["metric"] == "loss")]
    told = losses[losses["method"].isin(job.descents)]
    told = told[told["method"].isin(mean.index.get_level_values("method"))]
    update = told["method"].map(lambda name: mean[name, "epoch_s"]).astype(float)
    before = told["method"].map(lambda name: mean.get((name, "start_s"), 0.0)).astype(float)
    told = told.assign(seconds=before + told["epoch"] * update)
    columns = ["method", "image", "seconds", "metric", "value", "unit"]
    curve = (
        pd.concat([told[columns], _solved(least, losses, steps)[columns]], ignore_index=True)
        if len(steps)
        else told[columns]
    )
    whole = told.groupby("method")[["epoch", "seconds"]].max()
    updates = whole["epoch"].get(job.baseline, whole["epoch"].max())
    return curve, whole.loc[whole["epoch"] == updates, "seconds"].to_dict()


def _solved(least: pd.DataFrame, losses: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """The losses of methods without updates after the steps timed; after the last one, if not traced, the smallest."""
    keys = ["method", "image"]
    timed = steps.rename(columns={"step": "epoch", "value": "seconds"})[[*keys, "epoch", "seconds"]]
    joined = timed.merge(losses[[*keys, "epoch", "value"]], on=[*keys, "epoch"], how="left")
    last = joined["epoch"] == joined.groupby(keys)["epoch"].transform("max")
    end = joined[keys].merge(least[[*keys, "value"]], on=keys, how="left")["value"]
    joined["value"] = joined["value"].where(~(last & joined["value"].isna()), end)
    return joined.dropna(subset=["value"]).assign(metric="loss", unit="")


def _reached(line: pd.DataFrame, level: float | None, time: str, reached: str) -> list[tuple[str, float, str]]:
    """Seconds until the loss is first at most `level` and whether it ever is; no row for what there is not."""
    if level is None or level != level:
        return []
    seconds = line.loc[line["value"] <= level, "seconds"]
    return [(time, seconds.min(), "s")] * bool(len(seconds)) + [(reached, float(len(seconds) > 0), "")]
