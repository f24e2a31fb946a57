"""Seconds, bytes and parameters of a training step, by network and size of the images."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deqbench.experiments.deq_score_matching.nets import finished, rows_of
from deqbench.experiments.deq_score_matching.vae import networks
from deqbench.experiments.deq_score_matching.vae.config import Score, Size
from deqbench.experiments.rows import Row
from deqbench.measure.clock import in_turns
from deqbench.measure.peaks import frozen, peak_bytes
from deqbench.score_matching.vae import ImplicitVAE

ENGINES = {"loop": "", "jets": "jets_"}  # what is measured, and the beginning of its metrics


def size_word(shape: tuple[int, ...]) -> str:
    """8x8x1."""
    channels, height, width = shape
    return f"{height}x{width}x{channels}"


def costs(
    scores: dict[str, Score],
    size: Size,
    *,
    width: int,
    latent: int,
    sigma: float,
    objective: str,
    repeats: int,
    seed: int,
    device: str,
) -> Iterator[Row]:
    """Rows dataset, size, batch, method, metric, value, unit, and image for the turns of a time.

    time_s: one update's loss and gradients, of encoder, decoder and score network; saved_bytes, peak_bytes: of it;
    score_bytes: saved by the score network's loss alone; jets_: the same where derivatives are pushed forward, else
    nested autograd takes them. parameters: of all three.
    """
    shape: Any = tuple(size.shape)
    x = torch.rand(size.batch, *shape, generator=torch.Generator().manual_seed(seed)).to(device) * 2 - 1
    about: dict[str, Any] = {"dataset": size.dataset, "size": size_word(shape), "batch": size.batch}
    runs: dict[Any, Callable[[], object]] = {}
    for name, score in scores.items():
        net = networks.vae(score, shape, latent, size.width or width, seed).to(device)
        counted = {"parameters": float(sum(p.numel() for p in net.parameters()))}
        for engine, start in ENGINES.items():
            layer = score.model_copy(update={"engine": engine})
            steps = _steps(net, layer, x, objective, sigma, seed)
            runs[name, start] = partial(finished, steps["step"], device)
            counted |= _bytes(net, start, steps)
        yield from rows_of(counted, dict.fromkeys(counted, "B") | {"parameters": ""}, **about, method=name)
    for (name, start), seconds in in_turns(runs, repeats).items():
        for turn, value in enumerate(seconds):
            yield from rows_of({f"{start}time_s": value}, {f"{start}time_s": "s"}, **about, method=name, image=turn)


def _steps(
    net: ImplicitVAE, layer: Score, x: Tensor, objective: str, sigma: float, seed: int
) -> dict[str, Callable[[], Any]]:
    """A whole update's loss and gradients, and the score network's loss alone."""
    whole = networks.joint_loss(layer, objective, sigma)
    z = net.encode(x, torch.Generator().manual_seed(seed)).detach()

    def step() -> None:
        for parameter in net.parameters():
            parameter.grad = None
        whole(net, (x,), torch.Generator().manual_seed(seed)).backward()

    def alone() -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return networks.score_loss(net.score, x, z, layer, kind=objective, generator=generator)

    return {"step": step, "score": alone}


def _bytes(net: ImplicitVAE, start: str, steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
    known = list(net.parameters())
    with frozen():
        whole, score = (peak_bytes(steps[name], known) for name in ("step", "score"))
    return {
        f"{start}saved_bytes": float(whole["saved"]),
        f"{start}peak_bytes": float(whole["peak"]),
        f"{start}score_bytes": float(score["saved"]),
    }
