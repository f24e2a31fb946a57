"""L-BFGS on x_T with any gradient of the chain: the strongest use of the gradients that we know."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.gradients import gradient as pull
from deqbench.diffusion.inverted import Inverted, OnStep, Step


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
        self.stopped = ""

    def _loss(self) -> Tensor:
        pulled = pull(self.gradient, replace(self.chain, x_T=self.x_T.detach()), self.target, self.options)
        self.nfe, self.vjps = self.nfe + int(pulled.nfe), self.vjps + int(pulled.vjps)
        self.x_T.grad = pulled.gradient
        if float(pulled.loss) < self.least:
            self.best, self.least = self.x_T.detach().clone(), float(pulled.loss)
        return pulled.loss[0]

    def update(self, threshold: float) -> None:
        """One step with its line search; it stops where it finds none, at the threshold, or at what is not finite."""
        before = self.x_T.detach().clone()
        first = float(self.optimiser.step(self._loss))
        self.steps += 1
        moved = not torch.equal(before, self.x_T.detach())
        if not (first < float("inf") and self.x_T.isfinite().all()):
            self.stopped = "diverged"
        elif self.least <= threshold or not moved:
            self.stopped = "converged"


def invert(
    chain: DDIMChain,
    target: Tensor,
    *,
    gradient: str = "backprop",
    m: Count = 20,
    epochs: Count = 50,
    threshold: NonNegative = 0.0,
    on_step: OnStep | None = None,
    **gradient_options: Any,
) -> Inverted:
    """The x_T of the smallest loss seen in `epochs` updates, each with a line search, image by image.

    gradient: a file in deqbench/diffusion/gradients/, with gradient_options as its own settings. m: pairs remembered.
    threshold: an image stops at a loss of at most this. `converged` are also those whose line search finds no better
    point. Images are evaluated one at a time, for each searches its own line.
    """
    if epochs < 1 or m < 1:
        name, found = ("epochs", epochs) if epochs < 1 else ("m", m)
        raise ValueError(f"{name}: expected at least 1; found {found}")
    own = [torch.tensor([i], device=target.device) for i in range(len(target))]
    runs = [Descent(chain.select(i), target[i], gradient, gradient_options, m) for i in own]
    if on_step:
        on_step(Step(0, chain.x_T.to(target)))
    for epoch in range(1, epochs + 1):
        for run in runs:
            if not run.stopped:
                run.update(threshold)
        if on_step:
            on_step(Step(epoch, torch.cat([run.best for run in runs])))
        if all(run.stopped for run in runs):
            break
    steps, nfe, vjps = (torch.tensor([getattr(run, name) for run in runs]) for name in ("steps", "nfe", "vjps"))
    stopped = tuple(run.stopped or "max_iter" for run in runs)
    x_T = torch.cat([run.best for run in runs]) if runs else chain.x_T.to(target)
    return Inverted(x_T, steps.long(), nfe.long(), vjps.long(), stopped)
