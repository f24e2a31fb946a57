"""Ours: secant sweeps, nodes of the chain where it turns in most rounds, every step in each third one."""

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
    turn = torch.from_numpy(dct(np.eye(chain.x_T.shape[1]), axis=0, norm="ortho"))
    def tell(round_: Round) -> None:
        on_round(replace(round_, x0=_turned(round_.x0, turn.T)))
    found = secant_sweeps(
        _turned_chain(chain, turn),
        slopes(chain, data_variance),
        tol=tol,
        nodes=nodes,
        gap=gap,
        coarse_tol=coarse_tol,
        settle_tol=settle_tol,
        max_rounds=max_rounds,
        on_round=telling(tell if on_round else None),
    )
    return sampled(replace(found, states=_turned(found.states, turn.T, 2)))


def _turned(states: Tensor, turn: Tensor, dim: int = 1) -> Tensor:
    if len(turn) == 1:
        return states
    s = states.movedim(dim, -1)
    return (s @ turn.T.to(s)).movedim(-1, dim).contiguous()


def _turned_chain(chain, turn):
    eps_model = chain.eps_model
    return replace(chain, eps_model=lambda x, t: _turned(eps_model(_turned(x, turn.T), t), turn), x_T=_turned(chain.x_T, turn),
      noise=None if chain.noise is None else _turned(chain.noise, turn, 2))


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
