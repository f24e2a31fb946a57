"""Parareal on the chain: a coarse DDIM step over each block corrected by the chain's own steps, blocks in parallel.

Source: Selvam et al., "Self-refining diffusion samplers" (2024), algorithm 1, with its sweeps pipelined.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round


def sample(chain: DDIMChain, *, blocks: Count | None = None, tol: NonNegative = 1e-3) -> Iterator[Round]:
    """The chain until a sweep moves x_0 by at most `tol` of its length (the paper: by a mean distance of pixels).

    blocks: of at least two steps; None: the whole part of sqrt(N). After sweep k + 1 block i ends at
    G(x_i^{k+1}) + F(x_i^k) - G(x_i^k), G a single DDIM step without noise, F the block's steps.

    Every evaluation whose input is known runs in the next round, so the sweeps overlap, at most one evaluation an
    image and timestep: sweep k is whole after N_b k + M - k rounds (M blocks of N_b steps), and all N states are exact
    after N. G and the first step of F share an evaluation; a block whose input is exact is walked once. What was
    under way for the next sweep when an image stopped is counted. ValueError: more blocks than that.
    """
    most = max(1, chain.steps // 2)
    blocks = math.isqrt(chain.steps) if blocks is None else blocks
    if blocks > most:
        raise ValueError(f"blocks: expected at most {most} for a chain of {chain.steps} steps; found {blocks}")
    sweeps = _Sweeps(chain, blocks)
    while len(sweeps.active):
        nfe = len(sweeps.runs)
        sweeps.advance()
        settled = sweeps.settled(tol)
        yield Round(samples=sweeps.active, settled=settled, nfe=nfe, x0=sweeps.reached)
        sweeps.select(~settled)


class _Sweeps:
    """The values known of the sweeps over the samples `active`: each value by its block (or edge) and sweep."""

    def __init__(self, chain: DDIMChain, blocks: int) -> None:
        self.chain, self.blocks = chain, blocks
        self.edges = [round(i * chain.steps / blocks) for i in range(blocks + 1)]
        self.met: set[tuple[int, int]] = set()
        self.active = torch.arange(len(chain.x_T))
        self.reached = chain.x_T  # (b, *dims) the newest x_0, before there is one the furthest coarse state
        self.ends: list[Tensor] = []  # of each sweep
        self.coarse: dict[tuple[int, int], Tensor] = {}  # G of a block's start in a sweep
        self.fine: dict[tuple[int, int], Tensor] = {}
        self.runs: dict[tuple[int, int], tuple[int, Tensor]] = {(0, 0): (0, chain.x_T)}  # next step, state before it

    def advance(self) -> None:
        """One round: a step of every run."""
        indices = torch.tensor([j for j, _ in self.runs.values()]).repeat_interleave(len(self.active))
        terms = self.chain.step_terms(torch.cat([x for _, x in self.runs.values()]), indices)
        runs, self.runs = self.runs, {}
        for (key, (j, x)), eps in zip(runs.items(), terms.split(len(self.active)), strict=True):
            i, k = key
            if j == self.edges[i]:
                self.coarse[key] = self._jump(x, eps, i)
            x = self.chain.step(x, j, eps)
            if j + 1 < self.edges[i + 1]:
                self.runs[key] = (j + 1, x)
            else:
                self.fine[key] = x
        for i, k in runs:
            self._meet(i, k)
            self._meet(i, k + 1)

    def _meet(self, i: int, k: int) -> None:
        """Goes on from the state after block i in sweep k, once, as soon as all that it is made of is known."""
        coarse, fine, before = self.coarse.get((i, k)), self.fine.get((i, k - 1)), self.coarse.get((i, k - 1))
        if k == i + 1:
            state = fine  # from an exact start: the two coarse values are one
        elif k == 0 or coarse is None or fine is None or before is None:
            state = coarse if k == 0 else None
        else:
            state = coarse + fine - before
        if state is None or (i, k) in self.met:
            return
        self.met.add((i, k))
        if i + 1 < self.blocks:
            self.runs[i + 1, k] = (self.edges[i + 1], state)
        else:
            self.ends.append(state)
        if k == 0 or i + 1 == self.blocks:
            self.reached = state

    def settled(self, tol: float) -> Tensor:
        """(b,) bool: which samples' x_0 moved by at most tol of its length in the last sweep, or is exact."""
        if len(self.ends) > self.blocks:
            return torch.ones(len(self.active), dtype=torch.bool)
        if len(self.ends) < 2:
            return torch.zeros(len(self.active), dtype=torch.bool)
        move = (self.ends[-1] - self.ends[-2]).flatten(1).norm(dim=1)
        return (move <= tol * self.ends[-1].flatten(1).norm(dim=1)).cpu()

    def select(self, keep: Tensor) -> None:
        """Forget all samples but keep, (b,) bool."""
        if keep.all():
            return
        self.chain = self.chain.select(keep)
        self.active, self.reached = self.active[keep], self.reached[keep]
        self.ends = [state[keep] for state in self.ends]
        self.coarse, self.fine = ({key: x[keep] for key, x in known.items()} for known in (self.coarse, self.fine))
        self.runs = {key: (j, x[keep]) for key, (j, x) in self.runs.items()}

    def _jump(self, x: Tensor, eps: Tensor, i: int) -> Tensor:
        """The DDIM step over block i."""
        here, after = self.chain.alpha_bar[[self.edges[i], self.edges[i + 1]]]
        ratio = (after / here).sqrt()
        return float(ratio) * x + float((1 - after).sqrt() - ratio * (1 - here).sqrt()) * eps
