"""L-BFGS on x_T with any gradient of the chain: the strongest use of the gradients that we know."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import gradient as pull
from deqbench.diffusion.inverted import Update
from deqbench.solvers.rounds import Stop


class Descent:
    """One image's descent, with an optimiser of its own: torch's, whose line search meets the strong Wolfe rules."""

    def __init__(self, chain: DDIMChain, target: Tensor, gradient: str, options: dict[str, Any], m: int) -> None:
        self.chain, self.target, self.gradient, self.options = chain, target, gradient, options
        self.x_T = chain.x_T.to(target).clone().requires_grad_()
        # max_eval bounds a line search too, and its default for one update would end it at its first point
        self.optimiser = torch.optim.LBFGS(
            [self.x_T], max_iter=1, max_eval=25, history_size=m, line_search_fn="strong_wolfe"
        )
        self.best, self.least = self.x_T.detach().clone(), float("inf")
        self.nfe = self.vjps = self.steps = 0
        self.stopped: Stop | None = None

    def _loss(self) -> Tensor:
        loss_and_grad = pull(self.gradient, replace(self.chain, x_T=self.x_T.detach()), self.target, self.options)
        self.nfe, self.vjps = self.nfe + int(loss_and_grad.nfe), self.vjps + int(loss_and_grad.vjps)
        self.x_T.grad = loss_and_grad.gradient
        if float(loss_and_grad.loss) < self.least:
            self.best, self.least = self.x_T.detach().clone(), float(loss_and_grad.loss)
        return loss_and_grad.loss[0]

    def update(self, threshold: float) -> None:
        """One step with its line search; it stops where it finds none, at the threshold, or at what is not finite."""
        before = self.x_T.detach().clone()
        first = float(self.optimiser.step(self._loss))
        self.steps += 1
        moved = not torch.equal(before, self.x_T.detach())
        if not (first < float("inf") and self.x_T.isfinite().all()):
            self.stopped = Stop.DIVERGED
        elif self.least <= threshold or not moved:
            self.stopped = Stop.CONVERGED


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    gradient: str = "backprop",
    m: Count = 20,
    epochs: Count = 50,
    threshold: NonNegative = 0.0,
    **gradient_options: Any,
) -> Iterator[Update]:
    """The x_T of the smallest loss seen in `epochs` updates, each with a line search, image by image.

    gradient: a file in deqbench/diffusion/gradients/, with gradient_options as its own settings. m: pairs remembered.
    threshold: an image stops at a loss of at most this. `converged` are also those whose line search finds no better
    point. Images are evaluated one at a time, for each searches its own line.
    """
    own = [torch.tensor([i], device=target.device) for i in range(len(target))]
    runs = [Descent(chain.select(i), target[i], gradient, gradient_options, m) for i in own]
    yield Update(x_T=chain.x_T.to(target))
    for _ in range(epochs if runs else 0):
        before = _counts(runs)
        for run in runs:
            if run.stopped is None:
                run.update(threshold)
        counts = dict(zip(("calls", "nfe", "vjps"), _counts(runs) - before, strict=True))
        settled, lost = (torch.tensor([run.stopped is why for run in runs]) for why in (Stop.CONVERGED, Stop.DIVERGED))
        yield Update(x_T=torch.cat([run.best for run in runs]), settled=settled, lost=lost, **counts)
        if (settled | lost).all():
            return


def _counts(runs: list[Descent]) -> Tensor:
    """(3, B) int64: updates, evaluations and products so far."""
    return torch.tensor([[run.steps, run.nfe, run.vjps] for run in runs]).T
