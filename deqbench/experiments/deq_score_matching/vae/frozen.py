"""Score networks trained and compared on one encoder that stays."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deqbench.data.datasets import Dataset
from deqbench.experiments.deq_score_matching.nets import layer_of
from deqbench.experiments.deq_score_matching.vae import networks
from deqbench.experiments.deq_score_matching.vae.config import Frozen, Score
from deqbench.score_matching.vae import ImplicitVAE, ScoreNetwork
from deqbench.training.trainer import Batch, Loss, Trained, train


@dataclass(frozen=True)
class Encoder:
    """Codes of images from an encoder that stays, with a little noise of a standard deviation added."""

    net: ImplicitVAE
    noise: float

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            z = self.net.encode(x, generator)
            return z + self.noise * torch.randn(z.shape, generator=generator).to(z)


def compared(
    make: Callable[[], ScoreNetwork],
    score: Score,
    encoder: Encoder,
    data: Dataset,
    section: Frozen,
    objective: str,
    seed: int,
    device: str,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Test values of the network at the best of the rates, and the history at all of them (lr, step, metric, value).

    The best has the smallest loss on tuning data, by exact derivatives; so has the step at which a run is taken.
    """
    best: tuple[float, float, Any] = (math.inf, math.nan, None)
    history: list[dict[str, Any]] = []
    for lr in section.rates:
        net = make().to(device)
        trained = _trained(net, score, encoder, data, section, objective, lr, seed)
        history += [
            {"lr": lr, "step": step, "metric": f"{split}_{metric}", "value": value, "unit": ""}
            for step, split, metric, value in trained.history
        ]
        reached = min(
            (value for _, split, name, value in trained.history if (split, name) == WATCHED), default=math.inf
        )
        if best[2] is None or reached < best[0]:
            net.load_state_dict(trained.weights)
            best = (reached, lr, net)
    generator = torch.Generator().manual_seed(seed + 1)
    return {
        "lr": best[1],
        "tuning_loss": best[0],
        **tested(best[2], score, encoder, data.test, section.codes, generator),
    }, history


WATCHED = ("tuning", "exact")


def _trained(
    net: ScoreNetwork,
    score: Score,
    encoder: Encoder,
    data: Dataset,
    section: Frozen,
    objective: str,
    lr: float,
    seed: int,
) -> Trained:
    def loss(net: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        z = encoder(batch[0], generator)
        return networks.score_loss(net, batch[0], z, score, kind=objective, generator=generator)

    def on_codes(function: Callable[..., Tensor]) -> Loss:
        return lambda net, batch, generator: function(net, batch[0], encoder(batch[0], generator), score)

    metrics = {"exact": on_codes(networks.exact)}
    if layer_of(net) is not None:
        metrics["phantom"] = on_codes(networks.phantom)
    splits = {"train": (data.train,), "tuning": (data.tuning,)}
    settings = section.training.model_copy(update={"lr": lr, "seed": seed})
    return train(net, loss, splits, settings, metrics=metrics)


def tested(
    net: ScoreNetwork, score: Score, encoder: Encoder, images: Tensor, codes: int, generator: torch.Generator
) -> dict[str, float]:
    """Values at so many codes of each test image, in float64: exact and phantom loss, the answers' size, the solve's.

    exact: by exact derivatives; a network that answers 0 has 0, and all that is below is learnt. phantom: by the
    section's K, where there is an equilibrium. output_rms: of the answers; dead: whether that is next to none.
    """
    net = net.double()
    x = images.repeat(codes, 1, 1, 1)
    parts: dict[str, list[Tensor]] = {}

    def keep(**values: Tensor) -> None:
        for name, value in values.items():
            parts.setdefault(name, []).append(value.detach().double().cpu())

    for batch in x.split(256):
        at = batch.to(next(net.parameters()).device)
        z = encoder(at, generator).double()
        at = at.double()
        keep(exact=networks.exact(net, at, z, score, reduction="none"))
        with torch.no_grad():
            keep(size=net(at, z).square().mean(1))
        if (layer := layer_of(net)) is not None and layer.last is not None:
            keep(rounds=layer.last.rounds, converged=layer.last.converged)
            keep(phantom=networks.phantom(net, at, z, score, reduction="none"))
    found = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
    rms = math.sqrt(found.pop("size"))
    found |= {"gap": found["phantom"] - found["exact"]} if "phantom" in found else {}
    return {**found, "output_rms": rms, "dead": float(rms < networks.DEAD)}
