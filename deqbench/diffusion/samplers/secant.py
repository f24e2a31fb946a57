"""Ours: secant sweeps. Every other round evaluates nodes only, more of them where the chain turns."""

from dataclasses import replace

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Round, Sampled, sampled, telling
from deqbench.solvers.secant import Slopes, secant_sweeps

LEAST = 0.05  # of a slope: sweeps divide by products of them
EARLY = 1.0  # log of noise over signal; above it Jacobians are much alike
APART = 0.4  # in that log, of knots


def sample(
    chain: DDIMChain,
    *,
    tol: float = 1e-3,
    nodes: int = 16,
    gap: float = 0.03,
    coarse_tol: float = 0.05,
    settle_tol: float | None = None,
    max_rounds: int | None = None,
    data_variance: float = 0.2,
    on_round: OnRound | None = None,
) -> Sampled:
    """The chain to a predicted relative error of `tol` of x_0; 0 runs to the sequential result.

    nodes, gap, coarse_tol, settle_tol: see secant_sweeps; chains of hardly more than `nodes` steps evaluate all that
    have not settled. data_variance: of a pixel, for the start and the slopes of the first round only.
    """
    colours = _colours(chain.x_T)

    def tell(reached: Round) -> None:
        if on_round is not None:
            on_round(replace(reached, x0=_turned(reached.x0, colours.T)))

    found = secant_sweeps(
        _turned_chain(chain, colours),
        slopes(chain, data_variance),
        tol=tol,
        nodes=nodes,
        gap=gap,
        coarse_tol=coarse_tol,
        settle_tol=settle_tol,
        max_rounds=max_rounds,
        on_round=telling(tell if on_round else None),
    )
    return sampled(replace(found, states=_turned(found.states, colours.T)))


def _colours(x_T: Tensor) -> Tensor:
    """(C, C), orthonormal: the mean of an image's channels, and what they differ by; (1, 1) where C is 1.

    An image's channels share their edges, so that slopes of single elements hold good for their mean and for their
    differences rather than for each channel.
    """
    channels = x_T.shape[1] if x_T.ndim == 4 else 1
    return torch.from_numpy(dct(np.eye(channels), norm="ortho", axis=0)).to(x_T)


def _turned(states: Tensor, turn: Tensor) -> Tensor:
    """(..., C, H, W)."""
    return states if len(turn) == 1 else (turn @ states.flatten(-2)).view_as(states)


def _turned_chain(chain: DDIMChain, turn: Tensor) -> DDIMChain:
    """The same chains, their states' channels turned."""
    if len(turn) == 1:
        return chain

    def eps_model(x: Tensor, t: Tensor) -> Tensor:
        return _turned(chain.eps_model(_turned(x, turn.T), t), turn)

    noise = None if chain.noise is None else _turned(chain.noise, turn)
    return replace(chain, eps_model=eps_model, x_T=_turned(chain.x_T, turn), noise=noise)


def slopes(chain: DDIMChain, data_variance: float) -> Slopes:
    """Derivatives of the steps: of Gaussian data with one variance, and bounds.

    eps = x sqrt(1 - alpha_bar) / (alpha_bar v + 1 - alpha_bar) for data N(0, v I); v = 0 is a known image, and infinite
    v known noise. A chain undecided between images parts faster than with known noise, so the upper bound lies as far
    beyond that again.
    """
    before = chain.alpha_bar[:-1]

    def step(v: float) -> Tensor:
        return chain.ratio + chain.scale * (1 - before).sqrt() / (before * v + 1 - before)

    known_image, known_noise = step(0.0), chain.ratio
    span = known_noise - known_image
    noise = ((1 - before) / before).log() / 2
    place = torch.where(noise <= EARLY, noise / APART, float("inf"))
    return Slopes(step(data_variance), (known_image - 0.2 * span).clamp_min(LEAST), known_noise + span, place)
