"""Seconds, bytes and parameters of a training step, and images that fit a budget of bytes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.ncsn import networks
from deqbench.experiments.deq_score_matching.ncsn.config import Costs, Network, Size
from deqbench.experiments.deq_score_matching.nets import finished, rows_of
from deqbench.experiments.deq_score_matching.vae.costs import ENGINES, size_word
from deqbench.experiments.rows import Row
from deqbench.measure.clock import in_turns
from deqbench.measure.peaks import frozen, peak_bytes
from deqbench.measure.saved import SavedBytes
from deqbench.score_matching.ncsn import AtLevels, noise_conditional_loss


def costs(
    forms: dict[str, Network], size: Size, section: Costs, sigmas: Tensor, *, objective: str, seed: int, device: str
) -> Iterator[Row]:
    """Rows dataset, size, batch, width, method, metric, value, unit, and image for the turns of a time.

    time_ms: loss and gradients of one update; graph_bytes: kept by the score's graph alone; saved_bytes, peak_bytes: of
    the whole loss; jets_: where derivatives are pushed forward, else nested autograd takes them. bytes_per_image: slope
    of saved_bytes over batches; projected_bytes: that at the printed width, as n / width times as many channels have;
    fits: images of that size whose saved tensors go into the budget. graph_ratio, peak_ratio: the full network's bytes
    over the row's, where it comes before.
    """
    about: dict[str, Any] = {"dataset": size.dataset, "size": size_word(size.shape), "width": size.width}
    runs: dict[Any, Callable[[], object]] = {}
    batch, full = size.batches[0], dict[str, float]()
    for name, form in forms.items():
        net = networks.made(form, size.shape[0], size.width, len(sigmas), seed).to(device)
        values: dict[str, float] = {"parameters": float(sum(p.numel() for p in net.parameters()))}
        for engine, start in ENGINES.items():
            steps = {
                each: _step(
                    net, form.model_copy(update={"engine": engine}), size, each, sigmas, objective, seed, device
                )
                for each in size.batches
            }
            runs[name, start] = partial(finished, steps[batch], device)
            values |= {f"{start}{metric}": value for metric, value in _bytes(net, steps, size, section).items()}
        x, level = _noise(size, batch, sigmas, seed, device)
        values["graph_bytes"] = _saved(partial(AtLevels(net, level), x), list(net.parameters()))
        if form.variant == "ncsn":
            full = values
        if full:
            values["graph_ratio"] = full["graph_bytes"] / values["graph_bytes"]
            values["peak_ratio"] = full["peak_bytes"] / values["peak_bytes"]
        units = {metric: "B" for metric in values if "bytes" in metric}
        yield from rows_of(values, units, **about, batch=batch, method=name)
    for (name, start), seconds in in_turns(runs, section.repeats).items():
        for turn, value in enumerate(seconds):
            metric = f"{start}time_ms"
            yield from rows_of({metric: 1000 * value}, {metric: "ms"}, **about, batch=batch, method=name, image=turn)


def _noise(size: Size, batch: int, sigmas: Tensor, seed: int, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    level = torch.arange(batch) % len(sigmas)
    return torch.rand(batch, *size.shape, generator=generator).to(device), level.to(device)


def _step(
    net: nn.Module, form: Network, size: Size, batch: int, sigmas: Tensor, objective: str, seed: int, device: str
) -> Callable[[], None]:
    """An update's loss and gradients."""
    x, level = _noise(size, batch, sigmas, seed, device)

    def step() -> None:
        for parameter in net.parameters():
            parameter.grad = None
        generator = torch.Generator().manual_seed(seed)
        options = {"kind": objective, "engine": form.engine, "generator": generator}
        noise_conditional_loss(net, x, level, sigmas, **options).mean().backward()

    return step


def _bytes(net: nn.Module, steps: dict[int, Callable[[], None]], size: Size, section: Costs) -> dict[str, float]:
    """Bytes of a step, and what follows from them for the printed width."""
    known, first = list(net.parameters()), size.batches[0]
    with frozen():
        whole = peak_bytes(steps[first], known)
    saved = {first: float(whole["saved"])} | {batch: _saved(steps[batch], known) for batch in size.batches[1:]}
    slope = float(np.polyfit(list(saved), list(saved.values()), 1)[0])
    projected = slope * section.printed_width / size.width
    return {
        "saved_bytes": saved[first],
        "peak_bytes": float(whole["peak"]),
        "bytes_per_image": slope,
        "projected_bytes": projected,
        "fits": float(section.budget_gb * 1e9 // projected),
    }


def _saved(run: Callable[[], object], known: list[nn.Parameter]) -> float:
    """Peak bytes saved for the backward pass, without a count of all that live."""
    with SavedBytes(known) as saved:
        made = run()
    del made
    return float(saved.peak)
