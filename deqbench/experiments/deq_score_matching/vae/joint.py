"""VAEs whose encoder, decoder and score network are trained together, measured on the way."""

from typing import Any

import torch
from torch import Tensor

from deqbench.data.datasets import Dataset
from deqbench.experiments.deq_score_matching.distances import Scoring
from deqbench.experiments.deq_score_matching.vae import networks
from deqbench.experiments.deq_score_matching.vae.config import Joint, Score
from deqbench.measure.clock import now
from deqbench.score_matching.vae import ImplicitVAE
from deqbench.training.trainer import train

SHOWN = 10  # images kept
POINTS = 5  # of a course, at least


Course = list[tuple[int, int, dict[str, float]]]  # updates made, percent of them all, values


def trained(
    net: ImplicitVAE,
    score: Score,
    data: Dataset,
    section: Joint,
    objective: str,
    sigma: float,
    scoring: Scoring,
    seed: int,
) -> Course:
    """The values at every fifth of the training and at its shares; the network ends as trained."""
    steps, course = section.optimisation.steps, []
    points = {
        max(1, steps * share // 100): share for share in [*range(100 // POINTS, 101, 100 // POINTS), *section.shares]
    }
    clock = {"started": now("cpu"), "apart": 0.0}

    def on_step(done: int, value: float) -> None:
        if done in points:
            at = now("cpu")
            values = measured(net, score, data.test, sigma, scoring, section.draws, seed)
            course.append((done, points[done], {**values, "train_s": at - clock["started"] - clock["apart"]}))
            clock["apart"] += now("cpu") - at

    settings = section.optimisation.model_copy(update={"seed": seed})
    loss = networks.joint_loss(score, objective, sigma)
    outcome = train(net, loss, {"train": (data.train,)}, settings, on_step=on_step)
    net.load_state_dict(outcome.weights)
    return course


def measured(
    net: ImplicitVAE, score: Score, images: Tensor, sigma: float, scoring: Scoring, draws: int, seed: int
) -> dict[str, float]:
    """Values on test images: exact loss of the score network, reconstruction, the ELBO's surrogate, Frechet distance.

    recon: squared error summed over an image; surrogate: see ImplicitVAE.surrogate, no bound of anything.
    """
    generator = torch.Generator().manual_seed(seed)
    at = next(net.parameters())
    sums: dict[str, list[Any]] = {"joint_loss": [], "recon": [], "surrogate": [], "size": []}
    for x in images.to(at).split(256):
        with torch.no_grad():
            z = net.encode(x, generator)
            sums["recon"].append((x - net.decoder(z)).square().flatten(1).sum(1))
            sums["surrogate"].append(net.surrogate(x, z, sigma))
            sums["size"].append(net.score(x, z).square().mean(1))
        sums["joint_loss"].append(networks.exact(net.score, x, z, score, reduction="none").detach())
    values = {name: float(torch.cat(parts).double().mean()) for name, parts in sums.items()}
    rms = values.pop("size") ** 0.5
    drawn = net.sample(draws, torch.Generator().manual_seed(seed + 1))
    return {**values, "joint_rms": rms, "distance": scoring.distance(drawn)}
