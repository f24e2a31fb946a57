"""Kernel densities trained, and what they are worth by exact derivatives. Source: tables 2 and 3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from deqbench import zoo
from deqbench.data.splits import Dataset
from deqbench.experiments.deq_score_matching.dkef import normals
from deqbench.experiments.deq_score_matching.dkef.alphas import resolved
from deqbench.experiments.deq_score_matching.dkef.config import NORMAL
from deqbench.experiments.deq_score_matching.dkef.costs import bytes_of_a_step
from deqbench.experiments.deq_score_matching.dkef.job import EvaluateJob, TrainJob
from deqbench.experiments.deq_score_matching.dkef.likelihoods import likelihoods
from deqbench.experiments.deq_score_matching.dkef.models import data_of, score_matching, trimmed
from deqbench.experiments.deq_score_matching.dkef.training import Chosen, chosen, train_all
from deqbench.experiments.files import Files, OnStep
from deqbench.experiments.rows import Row
from deqbench.records import read_frame
from deqbench.score_matching.likelihood import Normal
from deqbench.score_matching.losses import score
from deqbench.solvers.deq import differentiated
from deqbench.training.trainer import step_generator

TRUTH = "truth"
Measured = Iterator[tuple[str, float, str]]


def train(job: TrainJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """A folder of weights, histories and cards of every row, split and setting."""
    train_all(job, files.outputs["models"], on_step)
    return {}


def evaluate(job: EvaluateJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Losses, likelihoods and costs of the chosen models (records), and tuning losses by update (history)."""
    shipped = job.data.shipped
    folder = zoo.path(shipped) if shipped else files.one("models")
    rows, histories = [], []
    for done, split in enumerate(job.splits):
        data = data_of(job, split)
        rows += list(closed_forms(data, split))
        for method in job.rows:
            model = chosen(job, folder, method, split, data.train)
            measured = measured_of(job, model, data, split, first=done == 0)
            rows += [_row(method, split, *one) for one in measured]
            histories.append(history(model, method, split))
        on_step(done + 1, len(job.splits))
    return {"records": [*rows, *ratios(rows)], "history": pd.concat(histories)}


def _row(method: str, split: int, metric: str, value: float, unit: str) -> Row:
    return {"method": method, "split": split, "metric": metric, "value": value, "unit": unit}


def ratios(rows: list[Row]) -> Iterator[Row]:
    """Bytes of every row's graph, as the paper differentiates, over those of the 3-layer SM model."""
    graphs = [row for row in rows if row["metric"] == "graph_bytes"]
    for base in (row for row in graphs if row["method"] == "sm"):
        for row in graphs:
            yield {**row, "metric": "graph_ratio", "value": row["value"] / base["value"], "unit": ""}


def closed_forms(data: Dataset, split: int) -> Iterator[Row]:
    """Rows of a normal density fitted to train and, of drawn rows, of the density itself."""
    fitted, true = Normal.fitted(data.train, ridge=0.0), normals.truth(data.about)
    for name, normal in ((NORMAL, fitted), (TRUTH, true)):
        if normal is not None:
            for one in normals.of_normal(normal, data.test):
                yield _row(name, split, *one)
    if true is not None:
        yield _row(TRUTH, split, "fisher", 0.0, "")


def measured_of(job: EvaluateJob, model: Chosen, data: Dataset, split: int, *, first: bool) -> Measured:
    """Metric, value and unit of one chosen model on test rows; bytes, alike on all splits, on the first only."""
    net, test = model.net, data.test
    losses = score_matching(net, test)
    yield "sm_loss", float(losses.double().mean()), ""
    yield "median_loss", float(losses.double().median()), ""
    yield "trimmed_loss", float(trimmed(losses.double(), job.data.trim)), ""
    yield "tuning_loss", float(model.card["metrics"]["tuning_sm"]), ""
    yield "tried", float(model.tried), "settings"
    yield "chosen_at", float(model.card["step"]), "updates"
    yield "sm_loss_resolved", _with_alpha(model, data, phantom=None), ""
    if net.block is not None:
        yield from _of_block(model, data, float(losses.double().mean()))
    generator = step_generator(job.seed, 1 + split)
    yield from _likelihoods(model, data, job, generator)
    if (true := normals.truth(data.about)) is not None:
        exact: Any = {} if net.block is None else {"derivative": "exact"}
        yield from normals.divergence(score(net, test, **exact).detach(), losses, true, test)
    if first:
        yield from bytes_of_a_step(net, model.row, model.setting, data.train[: job.data.optimisation.batch])


def _likelihoods(model: Chosen, data: Dataset, job: EvaluateJob, generator: torch.Generator) -> Measured:
    net, exact = model.net, {"derivative": "exact", "order": 1}  # chains are annealed along the density's own gradient
    with differentiated(net, **exact):
        every = list(likelihoods(net, data.test, data.tuning, job.data.likelihood, generator))
    yield from every
    found = {metric: value for metric, value, _ in every}
    if (true := normals.truth(data.about)) is not None:
        yield "truth_gap", abs(found["log_likelihood"] - float(true.log_prob(data.test).mean())), "nat"


def _of_block(model: Chosen, data: Dataset, exact: float) -> Measured:
    """What K further steps take the loss for, and how the fixed points were solved for."""
    steps = model.setting.steps
    phantom = float(score_matching(model.net, data.test, phantom=steps).double().mean())
    yield "phantom_loss", phantom, ""
    yield "phantom_gap", phantom - exact, ""
    yield "sm_loss_resolved_phantom", _with_alpha(model, data, phantom=steps), ""
    block = model.net.block
    assert block is not None
    with torch.no_grad():
        model.net(data.test)
    assert block.last is not None
    cell: Any = block.cell
    yield "picard", float(block.last.rounds.double().mean()), "iterations"
    yield "not_converged", float((~block.last.converged).double().mean()), ""
    yield "weight_norm", float(torch.linalg.matrix_norm(cell.matrix().detach(), 2).max()), ""


def _with_alpha(model: Chosen, data: Dataset, *, phantom: int | None) -> float:
    """The exact loss on test rows with alpha solved for on train, by exact derivatives or by those of K steps."""
    before = model.net.alpha.detach().clone()
    found = resolved(model.net, data.train, data.tuning, phantom=phantom)
    with torch.no_grad():
        model.net.alpha.copy_(found)
        value = float(score_matching(model.net, data.test).double().mean())
        model.net.alpha.copy_(before)
    return value


def history(model: Chosen, method: str, split: int) -> pd.DataFrame:
    """Losses on tuning data over the updates of the chosen training: tuning_sm, exact, and tuning_phantom."""
    frame = read_frame(Path(model.place["history"]))
    kept = frame[frame["split"] == "tuning"].drop(columns="split")
    kept = kept.assign(metric="tuning_" + kept["metric"], method=method, split=split, unit="")
    return kept.rename(columns={"step": "update"})
