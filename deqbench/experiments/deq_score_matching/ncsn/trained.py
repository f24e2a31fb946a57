"""Score networks trained, measured on the way, and sampled by annealed Langevin dynamics."""

from typing import Any

import torch
from torch import Tensor, nn

from deqbench.data.datasets import Dataset
from deqbench.experiments.deq_score_matching.distances import Scoring
from deqbench.experiments.deq_score_matching.ncsn import networks
from deqbench.experiments.deq_score_matching.ncsn.config import Network, Sampler, Training
from deqbench.experiments.deq_score_matching.nets import layer_of
from deqbench.measure.clock import now
from deqbench.score_matching import langevin
from deqbench.score_matching.ncsn import noise_conditional_loss, perturbed
from deqbench.training.trainer import train

POINTS = 5  # of a course, at least
Course = list[tuple[int, int, dict[str, float]]]  # updates made, percent of them all, values


def trained(
    net: nn.Module,
    form: Network,
    data: Dataset,
    section: Training,
    sampler: Sampler,
    sigmas: Tensor,
    objective: str,
    scoring: Scoring,
    seed: int,
) -> Course:
    """The values at every fifth of the training, and at its shares with a Frechet distance.

    The network ends with the weights whose loss by exact derivatives is least on tuning data, if the settings validate.
    train_s: seconds of training until then, without those of measuring.
    """
    steps, course = section.optimisation.steps, []
    shares = {*range(100 // POINTS, 101, 100 // POINTS), *section.shares}
    points = {max(1, steps * share // 100): share for share in shares}
    clock = {"started": now("cpu"), "apart": 0.0}

    def on_step(done: int, value: float) -> None:
        if done in points:
            at = now("cpu")
            values = tested(net, form, data.test, sigmas, objective, section.slices, seed)
            values["train_s"] = at - clock["started"] - clock["apart"]
            if points[done] in section.shares:
                values["distance"] = scoring.distance(drawn(net, data.shape, sampler, sigmas, seed))
            course.append((done, points[done], values))
            clock["apart"] += now("cpu") - at

    settings = section.optimisation.model_copy(update={"seed": seed})
    loss = networks.training_loss(sigmas, form, objective)
    splits = {"train": (data.train,), "tuning": (data.tuning,)}
    exact = networks.training_loss(sigmas, form.model_copy(update={"engine": "jets"}), objective, derivative="exact")
    outcome = train(net, loss, splits, settings, metrics={"exact": exact}, on_step=on_step)
    net.load_state_dict(outcome.weights)
    return course


def tested(
    net: nn.Module, form: Network, images: Tensor, sigmas: Tensor, objective: str, slices: int, seed: int
) -> dict[str, float]:
    """Test losses over noise of all levels: the objective by exact derivatives (test_loss) and by phantom ones
    (phantom_loss), and that of denoising (dsm), which has no derivative of the network; rounds and converged share.
    """
    generator, parts = torch.Generator().manual_seed(seed), dict[str, list[Tensor]]()

    def keep(**values: Any) -> None:
        for name, value in values.items():
            parts.setdefault(name, []).append(value.detach().double().cpu())

    layer, at = layer_of(net), next(net.parameters())
    for batch in images.to(at).split(128):
        x = batch / 2 + 0.5
        noisy, level = perturbed(x, sigmas, generator)
        options: dict[str, Any] = {"kind": objective, "slices": slices, "engine": "jets"}
        kinds: dict[str, dict[str, Any]] = {"test_loss": {"derivative": "exact"}}
        if layer is not None:
            kinds["phantom_loss"] = {"derivative": "phantom", "steps": form.steps}
        for name, derivative in kinds.items():
            draw = torch.Generator().manual_seed(seed)
            made = noise_conditional_loss(net, noisy, level, sigmas, generator=draw, **options, **derivative)
            keep(**{name: made})
        scale = sigmas.to(x)[level].view(-1, 1, 1, 1)
        with torch.no_grad():
            keep(dsm=(scale * net(noisy, level) + (noisy - x) / scale).flatten(1).square().sum(1) / 2)
        if layer is not None and layer.last is not None:
            keep(rounds=layer.last.rounds, converged=layer.last.converged)
    return {name: float(torch.cat(values).mean()) for name, values in parts.items()}


@torch.no_grad()
def drawn(net: nn.Module, shape: tuple[int, int, int], sampler: Sampler, sigmas: Tensor, seed: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] by annealed Langevin dynamics from uniform noise; grey where a walk is lost.

    As grey, 0, they count in a Frechet distance.
    """
    generator = torch.Generator().manual_seed(seed)
    at = next(net.parameters())
    start = torch.rand(sampler.draws, *shape, generator=generator).to(at)

    def score(x: Tensor, level: int) -> Tensor:
        made: Tensor = net(x, torch.full((len(x),), level, device=x.device))
        return made

    options: dict[str, Any] = {"steps": sampler.steps, "rate": sampler.rate, "denoise": sampler.denoise}
    images = langevin.sample(score, start, sigmas, generator=generator, **options).cpu()
    lost = ~images.flatten(1).isfinite().all(1)
    images[lost] = 0.5
    return (images * 2 - 1).clamp(-1, 1)
