"""Ways to take one step of a problem: the loss of a batch and all its gradients."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deqbench.experiments.deq_score_matching.engines.config import Problem
from deqbench.score_matching.dkef import DKEF, Equilibria, Perceptrons
from deqbench.score_matching.layers import ConvCell
from deqbench.score_matching.losses import score_matching_loss
from deqbench.solvers.deq import DEQ, differentiated
from deqbench.solvers.implicit import damped_steps

Step = Callable[[], Tensor]
STEPS = 2  # K of the phantom gradient. Source: section 3.4
PICARD: dict[str, Any] = {"solver": "picard", "tol": 5e-6, "max_iter": 128}  # source: table 10
# The nested ways are those that a user of torch has; jets are ours.
WAYS: dict[str, dict[str, Any]] = {
    "exact": {"derivative": "exact", "engine": "jets"},
    "phantom-jets": {"derivative": "phantom", "engine": "jets"},
    "phantom-loop": {"derivative": "phantom", "engine": "loop"},
    "phantom-batched": {"derivative": "phantom", "engine": "batched"},
}
STOCK = ("phantom-loop", "phantom-batched", "phantom-func")
FASTEST = "phantom-stock"  # the row of the fastest of them


class Convolutional(nn.Module):
    """log p~ of images (B, 1, s, s): a readout of a convolutional equilibrium, less |x|^2 / 2."""

    def __init__(self, problem: Problem, **solving: Any) -> None:
        super().__init__()
        size = problem.kernel_size
        self.inject = nn.Conv2d(1, problem.channels, size, padding=size // 2)
        self.block = DEQ(ConvCell(problem.channels, size, "operator"), **solving)
        self.readout = nn.Conv2d(problem.channels, 1, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        z = self.block(F.softplus(self.inject(x)))
        return F.softplus(self.readout(z)).flatten(1).sum(1) - 0.5 * x.square().flatten(1).sum(1)


class OneByOne(nn.Module):
    """x (B, d) -> (R, B, h) by R extractors one after the other."""

    def __init__(self, extractors: list[nn.Module]) -> None:
        super().__init__()
        self.extractors = nn.ModuleList(extractors)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([extractor(x) for extractor in self.extractors])


def separate(problem: Problem) -> DKEF:
    """The kernel model with its extractors as three modules, as code that is not written for speed has them."""
    drawn = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"copies": 1, "generator": drawn, **PICARD}
    parts: list[nn.Module] = [Equilibria(problem.dimensions, problem.width, **options) for _ in range(3)]
    return DKEF(OneByOne(parts), torch.randn(problem.points, problem.dimensions, generator=drawn))


def model(problem: Problem, layers: int | None = None) -> nn.Module:
    """The problem's model: with a DEQ, or with extractors of so many layers."""
    generator = torch.Generator().manual_seed(0)
    if problem.model == "convolution":
        torch.manual_seed(0)
        return Convolutional(problem, **PICARD, adjoint="picard", adjoint_tol=5e-6)
    d, width = problem.dimensions, problem.width
    if layers is None:
        extractor: nn.Module = Equilibria(d, width, generator=generator, **PICARD)
    else:
        extractor = Perceptrons(d, width, layers, generator=generator)
    return DKEF(extractor, torch.randn(problem.points, d, generator=generator))


def rows(problem: Problem, seed: int) -> Tensor:
    """A batch of normal rows."""
    dims = (problem.dimensions,) if problem.model == "kernel" else (1, problem.side, problem.side)
    return torch.randn(problem.batch, *dims, generator=torch.Generator().manual_seed(seed))


def step(net: nn.Module, problem: Problem, x: Tensor, **way: Any) -> Step:
    """One step of a way: the loss, whose gradients are in the parameters' `grad` afterwards."""

    def take() -> Tensor:
        net.zero_grad()
        drawn = torch.Generator().manual_seed(1)
        loss = score_matching_loss(net, x, kind=problem.loss, steps=STEPS, generator=drawn, **way)
        loss.backward()
        return loss.detach()

    return take


def known(problem: Problem) -> dict[str, dict[str, Any]]:
    """The ways of a problem: a sliced loss has one direction, so there is nothing to batch."""
    return {name: way for name, way in WAYS.items() if problem.loss == "sm" or way["engine"] != "batched"}


def steps(net: nn.Module, problem: Problem, x: Tensor) -> dict[str, Step]:
    """One step by every way that is timed."""
    made = {name: step(net, problem, x, **way) for name, way in known(problem).items()}
    if problem.model == "kernel":
        made["phantom-func"] = func_step(net, x)
        made["phantom-separate"] = step(separate(problem), problem, x, **WAYS["phantom-batched"])
    return made


def fastest(spent: Mapping[str, Sequence[float]]) -> str:
    """The stock way with the smallest median."""
    medians = {way: median(spent[way]) for way in STOCK if way in spent}
    return min(medians, key=lambda way: medians[way])


class _Restarted(nn.Module):
    """K steps from a state that is put here before: a DEQ that torch.func can pass, the solve left outside."""

    def __init__(self, deq: DEQ) -> None:
        super().__init__()
        self.cell = deq.cell
        self.z: Tensor | None = None

    def forward(self, g: Tensor) -> Tensor:
        assert self.z is not None
        return damped_steps(lambda z: self.cell(z, g), self.z, STEPS, 1.0)


def func_step(net: Any, x: Tensor) -> Step:
    """The K=2 step by torch.func: solved first, then jacrev of grad a row, vectorised over rows."""
    deq, started = net.extractor.block, _Restarted(net.extractor.block)

    def take() -> Tensor:
        net.zero_grad()
        with differentiated(net, derivative="phantom", steps=STEPS):
            centres = net.extractor(net.points)
            with torch.no_grad():
                z = deq(F.softplus(net.extractor.inject(x.unsqueeze(0))))  # (R, B, h)
        net.extractor.block = started

        def energy(row: Tensor, state: Tensor) -> Tensor:
            started.z = state[:, None]
            return net.of_features(net.extractor(row[None]), centres, row[None])[0]

        def one(row: Tensor, state: Tensor) -> Tensor:
            score = torch.func.grad(energy)
            trace = torch.func.jacrev(score)(row, state).diagonal().sum()
            return score(row, state).square().sum() / 2 + trace

        try:
            loss = torch.func.vmap(one, in_dims=(0, 1))(x, z).mean()
        finally:
            net.extractor.block = deq
        loss.backward()
        return loss.detach()  # type: ignore[no-any-return]

    return take
