"""The chain as a fixed point whose sweeps treat a chosen linear part of every step exactly.

x'_{j+1} = L_j x'_j + Phi_j(x_j) - L_j x_j has the sequential chain as its fixed point whatever L_j is, and reaches it
within N repetitions. How many fewer they are hangs on how near L_j is to the Jacobian of the step Phi_j.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain, along
from deqbench.diffusion.moments import Moments, cosines, pictures
from deqbench.errors import UserError, unknown

Split = Literal["eps", "drift", "variance", "pixel", "frequency", "step"]


@dataclass(frozen=True)
class SplitChain:
    """B chains as a map on guesses (B, N, *dims) of all states, as `DDIMChain` is, with linear parts of its own."""

    chain: DDIMChain
    linear: Tensor  # float64: (N,) or (B, N), one factor a step; (N, *dims), one a coordinate
    cosine: bool = False  # coordinates are those of the cosine transform
    nfe: int = 0  # evaluations a chain that finding the linear parts took, in as many rounds as there are N in it

    def __call__(self, z: Tensor) -> Tensor:
        """z: (B, N, *dims), a guess of the states after each step -> the same states swept from it."""
        chain = self.chain
        states = torch.cat([chain.x_T[:, None], z[:, :-1]], 1)
        eps = chain.step_terms(states.flatten(0, 1), torch.arange(chain.steps).repeat(len(z))).view_as(states)
        if self.linear.ndim <= 2:
            return chain.combine(chain.x_T, states, eps, 0, self.linear)
        turn, back = (cosines, pictures) if self.cosine else (lambda states: states,) * 2
        stepped = along(chain.ratio, states) * states + along(chain.scale, eps) * eps
        if chain.noise is not None:
            stepped += along(chain.noise_scale, stepped) * chain.noise
        linear = self.linear.to(stepped)
        rest, x = turn(stepped) - linear * turn(states), turn(chain.x_T)
        for j in range(chain.steps):
            x = rest[:, j].add_(linear[j] * x)
        return back(rest)

    def select(self, indices: Tensor) -> SplitChain:
        """The chains of those samples."""
        # (N, *dims) has as many dimensions as the states; (B, N) is told from (N,) by its two
        linear = self.linear[indices] if self.linear.ndim == 2 else self.linear
        return replace(self, chain=self.chain.select(indices), linear=linear)


def split_chain(chain: DDIMChain, split: Split, seed: int = 0) -> DDIMChain | SplitChain:
    """The chain with the linear parts named.

    eps: the coefficient of the state beside eps, so that sweeps are the paper's h-tilde. drift: 1, as ParaDiGMS.
    variance, pixel, frequency: how the probability flow scales Gaussian data from one timestep to the next, with one
    variance for all, one a pixel, one a frequency of the cosine transform; they need `chain.moments`. step: the mean
    of the diagonal of the step's own Jacobian at x_T, from one product with random signs drawn from `seed`; two
    evaluations of each step. UserError: no such split, or no moments.
    """
    known = get_args(Split)
    if split not in known:
        raise unknown("split", split, known)
    if split == "eps":
        return chain
    if split == "drift":
        return SplitChain(chain, torch.ones(chain.steps, dtype=torch.float64))
    if split == "step":
        return SplitChain(chain, _probed(chain, seed), nfe=2 * chain.steps)
    moments = _moments(chain, f"split: {split}")
    if split == "variance":
        return SplitChain(chain, flow_ratio(chain, torch.tensor(moments.variance, dtype=torch.float64)))
    variances = moments.pixels if split == "pixel" else moments.frequencies
    return SplitChain(chain, flow_ratio(chain, variances), cosine=split == "frequency")


def gaussian_start(chain: DDIMChain) -> Tensor:
    """(B, N, *dims): where each chain would pass if its data were Gaussian with `chain.moments` by frequency.

    UserError: no moments.
    """
    moments = _moments(chain, "start: gaussian")
    linear = flow_ratio(chain, moments.frequencies)
    product = linear.cumprod(0)[None]  # (1, N, *dims)
    first = cosines(chain.x_T.double() - chain.alpha_bar[0].sqrt() * moments.mean.to(chain.x_T.device))
    moved = pictures(product.to(first) * first[:, None])
    return (moved + along(chain.after.sqrt(), moved) * moments.mean.to(moved)).to(chain.x_T.dtype)


def flow_ratio(chain: DDIMChain, variance: Tensor) -> Tensor:
    """(N, *variance.shape) float64: sqrt((alpha_bar' v + 1 - alpha_bar') / (alpha_bar v + 1 - alpha_bar))."""
    before, after = (a.view(-1, *[1] * variance.ndim) for a in (chain.alpha_bar[:-1], chain.after))
    return ((after * variance + 1 - after) / (before * variance + 1 - before)).sqrt()


def _probed(chain: DDIMChain, seed: int) -> Tensor:
    """(B, N): ratio + scale * trace(d eps / d x) / D, the trace as v . J v, J v a difference quotient."""
    shape = chain.steps, *chain.x_T.shape[1:]
    signs = 2 * torch.randint(2, shape, generator=torch.Generator().manual_seed(seed)).to(chain.x_T) - 1
    states, h = chain.initial(), torch.finfo(chain.x_T.dtype).eps ** (1 / 3)
    indices = torch.arange(chain.steps).repeat(len(states))
    eps, moved = (chain.step_terms(at.flatten(0, 1), indices).view_as(states) for at in (states, states + h * signs))
    trace = (signs * (moved - eps) / h).flatten(2).mean(2, dtype=torch.float64).cpu()
    return chain.ratio + chain.scale * trace


def _moments(chain: DDIMChain, where: str) -> Moments:
    if chain.moments is None:
        raise UserError(f"{where} needs the mean and variances of the data; found none with this chain")
    return chain.moments
