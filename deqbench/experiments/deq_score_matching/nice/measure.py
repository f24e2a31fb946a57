"""Trainings of flows, and what is measured of them. Source: table 4."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.nice.config import Method
from deqbench.experiments.deq_score_matching.nice.flows import Training, build, deal, exact_losses, phantom_losses
from deqbench.experiments.deq_score_matching.nice.job import ENDINGS, EvaluateJob, FlowSlice, TrainJob, output_name
from deqbench.experiments.files import Files, OnStep
from deqbench.experiments.rows import Row
from deqbench.measure.clock import in_turns, now
from deqbench.measure.peaks import frozen, peak_bytes
from deqbench.records import read_json
from deqbench.score_matching.logits import bits_per_dimension
from deqbench.solvers.deq import DEQ
from deqbench.training import stage
from deqbench.training.trainer import Batch, Loss

Place = tuple[int, str, int]  # split, method, place of the rate


def train(job: TrainJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Weights, history and card of every method's training at every rate, all with the same first draws."""
    parts = deal(files.one("data"), job.images, job.split)
    splits = {"train": (parts["train"],), "tuning": (parts["tuning"][: job.watched],)}
    done, total = 0, len(job.methods) * len(job.rates) * job.optimisation.steps
    for name, method in job.methods.items():
        for place, rate in enumerate(job.rates):
            net = _net(job, method, parts["train"].shape[1], job.split)
            settings = job.optimisation.model_copy(update={"lr": rate, "seed": job.split})
            outputs = {file: files.outputs[output_name(file, name, place)] for file in ENDINGS}
            about = {"method": name, "loss": method.model_dump(), "flow": job.flow.model_dump(), "split": job.split}
            stage.run(
                net,
                Training(method),
                splits,
                settings,
                outputs,
                about=about,
                metrics=watched(job, method),
                on_step=lambda step, _, done=done: on_step(done + step, total),  # type: ignore[misc]
            )
            done += job.optimisation.steps
    return {}


def watched(job: FlowSlice, method: Method) -> dict[str, Loss]:
    """What a validation measures, that first by which weights and rates are chosen.

    Of one trained by likelihood it is that; of all others the exact loss, whatever they are trained by.
    """

    def sm_loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return exact_losses(net, batch[0], method, job.flow.width).mean()

    def minus_log_likelihood(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return -net(batch[0]).mean()  # type: ignore[no-any-return]

    if method.kind == "mle":
        return {"minus_log_likelihood": minus_log_likelihood, "sm_loss": sm_loss}
    return {"sm_loss": sm_loss, "minus_log_likelihood": minus_log_likelihood}


def evaluate(job: EvaluateJob, files: Files, on_step: OnStep) -> dict[str, Any]:
    """Records of every method and split at the rate that was best on the tuning part: see `of_flow` and `costs`."""
    weights, cards = ({_place(path): path for path in files.all(name)} for name in ("weights", "cards"))
    rows: list[Row] = []
    for done, split in enumerate(job.splits, start=1):
        parts = deal(files.one("data"), job.images, split)
        nets: dict[str, NetOfMethod] = {}
        for name, method in job.methods.items():
            at = best_rate({k: read_json(cards[split, name, k]) for k in range(len(job.rates))}, method)
            net = _net(job, method, parts["train"].shape[1], split)
            net.load_state_dict(load_file(weights[split, name, at]))
            nets[name] = (method, net.eval())
            about = {"rate": job.rates[at], "best_step": read_json(cards[split, name, at])["step"]}
            rows += _rows({**about, **of_flow(job, method, net, parts["test"].to(job.device))}, split, name)
        batch = parts["train"][: job.optimisation.batch].to(job.device)
        for name, metrics in costs(nets, batch, job.timed, job.device).items():
            rows += _rows(metrics, split, name)
        on_step(done, len(job.splits))
    return {"records": rows}


NetOfMethod = tuple[Method, nn.Module]


def best_rate(cards: dict[int, dict[str, Any]], method: Method) -> int:
    """The place of the rate whose training got furthest on the tuning part. ValueError: none has a finite value."""
    watched = "minus_log_likelihood" if method.kind == "mle" else "sm_loss"
    values = {place: card["metrics"].get(f"tuning_{watched}") for place, card in cards.items()}
    finite = {place: value for place, value in values.items() if value is not None}
    if not finite:
        raise ValueError(f"cards: expected a finite tuning_{watched} of one rate; found none")
    return min(finite, key=lambda place: finite[place])


def of_flow(job: EvaluateJob, method: Method, net: nn.Module, y: Tensor) -> dict[str, float]:
    """Means over test rows y (N, d), and the flow's parameters.

    sm_loss: 1/2 |s|^2 + tr of the logits' density, exactly; sm_loss_phantom: what two phantom steps make of it.
    log_likelihood: nats, of the logits; bits: an entry of the image. rounds: of Picard's iteration, a solve and row;
    unconverged: share of such solves that ended short of the tolerance.
    """
    with torch.no_grad():
        log_density = net(y)
    layers = [layer.last for layer in net.modules() if isinstance(layer, DEQ)]
    width, images = job.flow.width, job.images
    found = {
        "sm_loss": exact_losses(net, y, method, width).mean(),
        "log_likelihood": log_density.mean(),
        "bits": bits_per_dimension(log_density, y, images.levels, images.edge).mean(),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }
    if solved := [one for one in layers if one is not None]:
        found["sm_loss_phantom"] = phantom_losses(net, y, method.steps, width).mean()
        found["phantom_gap"] = found["sm_loss_phantom"] - found["sm_loss"]
        found["rounds"] = torch.cat([one.rounds for one in solved]).double().mean()
        found["unconverged"] = 1 - torch.cat([one.converged for one in solved]).double().mean()
    return {name: float(value) for name, value in found.items()}


def costs(nets: dict[str, NetOfMethod], batch: Tensor, turns: int, device: str) -> dict[str, dict[str, float]]:
    """By method: step_s, seconds of the loss of a batch and its gradient, median of turns; bytes of the same.

    saved_bytes: kept for the backward pass, weights apart. nested_bytes: with autograd within autograd as the engine of
    a sliced loss, as the paper does it.
    """

    def step(name: str, engine: str = "auto") -> None:
        method, net = nets[name]
        net.zero_grad()
        Training(method, engine)(net, (batch,), torch.Generator().manual_seed(0)).backward()
        now(device)

    spent = in_turns({name: lambda name=name: step(name) for name in nets}, turns)  # type: ignore[misc]
    found = {name: {"step_s": float(np.median(spent[name]))} for name in nets}
    with frozen():
        for name, (_, net) in nets.items():
            for metric, engine in (("saved_bytes", "auto"), ("nested_bytes", "loop")):
                counted = peak_bytes(lambda name=name, engine=engine: step(name, engine), [*net.parameters()])  # type: ignore[misc]
                found[name][metric] = counted["saved"]
    return found


def _net(job: FlowSlice, method: Method, dimensions: int, split: int) -> nn.Module:
    return build(dimensions, job.flow, method, job.seed + split).to(job.device)


def _place(path: Path) -> Place:
    return int(path.parts[-3]), path.parts[-2], int(path.stem)


def _rows(metrics: dict[str, float], split: int, method: str) -> Iterator[Row]:
    units = {"_bytes": "B", "_s": "s"}
    for metric, value in metrics.items():
        unit = next((unit for ending, unit in units.items() if metric.endswith(ending)), "")
        yield {"split": split, "method": method, "metric": metric, "value": value, "unit": unit}
