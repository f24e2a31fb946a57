"""ParaTAA: sweeps of order k with triangular Anderson mixing and settled states frozen.

Source: Tang et al., "Accelerating parallel sampling of diffusion models" (2024), and its released code. Two rules of
that code are easily misread: its memory counts rounds, so that m = 2, the default, mixes with one difference of
residuals; and of the two tolerances in its stop test, equal by default, only the first, used here, ever decides.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round
from deqbench.solvers.anderson import block_dots
from deqbench.solvers.norms import block_length


def sample(
    chain: DDIMChain,
    *,
    order: Count | None = None,
    window: Count | None = None,
    m: Count = 2,
    ridge: NonNegative = 1e-3,
    tol: NonNegative = 1e-3,
    max_iter: Count | None = None,
) -> Iterator[Round]:
    """The chain until each state's own step is right to `tol`; tol 0 gives the sequential result.

    order: steps that a new state is swept from an old one, None for the whole window (the paper's k). window: steps
    evaluated a round, None for all that are not settled (its w). m: rounds mixed; 1 is plain repetition. ridge: added
    to the Gram matrices, in the states' units. tol: largest root mean square of Phi_j(x_j) - x_{j+1} over a state's
    values. max_iter: rounds at most, None for as many as it takes, which is never more than the chain has steps.

    A state settles when all before it have and its residual is at most tol; the first whose residual is larger settles
    too, since it is computed from settled states. They are not evaluated again.
    """
    samples, steps = len(chain.x_T), chain.steps
    states = torch.cat([chain.x_T[:, None], chain.initial()], 1)  # (B, N + 1, *dims)
    images = [Image(chain.select(torch.tensor([b])), states[b], order or steps, m, ridge) for b in range(samples)]
    active = list(range(samples))
    for _ in range(steps if max_iter is None else max_iter):
        if not active:
            return
        spans = [images[b].span(window or steps) for b in active]
        inputs = torch.cat([states[b, span] for b, span in zip(active, spans, strict=True)])
        counts = torch.tensor([span.stop - span.start for span in spans])
        indices = torch.cat([torch.arange(span.start, span.stop) for span in spans])
        terms = chain.step_terms(inputs, indices).split(counts.tolist())
        for b, span, part in zip(active, spans, terms, strict=True):
            images[b].advance(span, part, tol)
        yield Round(
            samples=torch.tensor(active),
            settled=np.array([images[b].settled == steps for b in active]),
            lost=np.array([images[b].lost for b in active]),
            nfe=counts,
            x0=states[active, -1],
            states=lambda: states[:, 1:],
        )
        active = [b for b in active if not (images[b].settled == steps or images[b].lost)]


class Image:
    """One chain and how far it has got: its states (N + 1, *dims), changed in place, are final up to `settled`."""

    def __init__(self, chain: DDIMChain, states: Tensor, order: int, m: int, ridge: float) -> None:
        self.chain, self.states, self.order, self.settled = chain, states, order, 0
        self.memory = Memory(m, ridge, states[1:].flatten(1)) if m > 1 else None

    def span(self, window: int) -> slice:
        """The steps that the next round evaluates."""
        return slice(self.settled, min(self.settled + window, self.chain.steps))

    def advance(self, span: slice, terms: Tensor, tol: float) -> None:
        """Sweeps, mixes and settles the states after the steps of the span, whose eps are the terms (w, *dims)."""
        old = self.states[span.start + 1 : span.stop + 1]
        first, new = sweeps(self.chain, self.states[span], terms, span, self.order)
        right = (first - old).flatten(1).square().mean(1, dtype=torch.float64).sqrt() <= tol
        settling = min(int(right.long().cumprod(0).sum()) + 1, len(right))
        if self.memory is not None:
            weights = self.memory.weights(span, new.flatten(1), (new - old).flatten(1))
            weights[:settling] = 0
            new = self.memory.mix(span, new, weights)
        old.copy_(new)
        self.states[span.stop + 1 :] = new[-1]  # what the window may reach next starts at the newest state
        self.settled += settling

    @property
    def lost(self) -> bool:
        """Whether no further round can make the result finite."""
        return not self.states[self.settled].isfinite().all()


def sweeps(chain: DDIMChain, states: Tensor, terms: Tensor, span: slice, order: int) -> tuple[Tensor, Tensor]:
    """The states after the steps of the span, computed from those one step and those `order` steps before them.

    states, terms: (w, *dims), the states before these steps and their eps, of the one sample of the chain. Where
    `order` steps lead out of the span, its own first state is the one to start from. -> (w, *dims) twice.
    Source: Tang et al., the equations of order k, here from one sweep: they are linear in their starting states.
    """
    whole = chain.combine(states[:1], states[None], terms[None], span.start)[0]
    gap = states - torch.cat([states[:1], whole[:-1]])  # of the states from the swept ones
    ratio = torch.cat([torch.ones(1, dtype=torch.float64), chain.ratio[span].cumprod(0)])

    def from_before(k: int) -> Tensor:
        start = (torch.arange(len(states)) + 1 - k).clamp_min(0)
        share = (ratio[1:] / ratio[start]).to(gap).view(-1, *[1] * (gap.ndim - 1))
        return whole + share * gap[start]

    return from_before(1), from_before(order)


class Memory:
    """The last m rounds of one image, as m - 1 differences of swept states and of residuals, filled round robin.

    State j is mixed to F_j - dF_j gamma_j, where gamma_j has the least sum of ||r_i - dR_i gamma||^2 over all states i
    of the span up to j, plus ridge ||gamma||^2. Source: Tang et al., triangular Anderson acceleration.
    """

    def __init__(self, m: int, ridge: float, states: Tensor) -> None:
        """states: (N, D), for their shape, dtype and device."""
        steps, width = states.shape
        self.ridge, self.rounds, self.c = ridge, 0, block_length(width)
        self.last = states.new_zeros(2, steps, width)  # swept states and residuals of the last round
        self.dF, self.dR = states.new_zeros(2, m - 1, steps, width)
        self.known = torch.zeros(m - 1, steps, dtype=torch.bool, device=states.device)  # which differences exist
        self.seen = torch.zeros(steps, dtype=torch.bool, device=states.device)

    def weights(self, span: slice, swept: Tensor, residual: Tensor) -> Tensor:
        """gamma: (w, m - 1) float64, after this round's swept states and residuals (w, D) joined the others.

        It is 0 for differences from before a state's first round.
        """
        new, slot = torch.stack([swept, residual]), self.rounds % len(self.dF)
        self.known[slot] = False
        self.known[slot, span] = self.seen[span]
        self.dF[slot, span], self.dR[slot, span] = (new - self.last[:, span]) * self.seen[span, None]
        self.last[:, span], self.seen[span] = new, True
        self.rounds += 1
        known = self.known[:, span].T.to(torch.float64)  # (w, m - 1)
        dR = self.dR[:, span].unflatten(2, (-1, self.c)).flatten(1, 2).transpose(0, 1)  # (w C, m - 1, c)
        r = residual.reshape(-1, self.c, 1)
        gram, right = (block_dots(dR, x, len(r) // len(known)).cumsum(0) for x in (dR.mT, r))
        left = gram * known[:, :, None] * known[:, None, :] + torch.diag_embed(self.ridge + 1 - known)
        gamma = torch.linalg.solve_ex(left, right * known[:, :, None])[0][:, :, 0]
        return gamma.nan_to_num_(0.0, 0.0, 0.0)  # where a state overflowed, the step is a plain one

    def mix(self, span: slice, swept: Tensor, gamma: Tensor) -> Tensor:
        """The next states of the span, (w, *dims)."""
        return swept - torch.einsum("wm,mwd->wd", gamma.to(swept), self.dF[:, span]).view_as(swept)
