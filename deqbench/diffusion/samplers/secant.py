"""Ours: secant sweeps, a few nodes of the chain in most rounds, every step once or twice."""

from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Sampled, sampled, telling
from deqbench.solvers.secant import Slopes, secant_sweeps

LEAST = 0.05  # of a slope: sweeps divide by products of them


def sample(
    chain: DDIMChain,
    *,
    tol: float = 1e-3,
    nodes: int = 32,
    coarse_tol: float = 0.03,
    settle_tol: float | None = None,
    max_rounds: int | None = None,
    data_variance: float = 0.2,
    on_round: OnRound | None = None,
) -> Sampled:
    """The chain to a predicted relative error of `tol` of x_0; 0 runs to the sequential result.

    nodes, coarse_tol, settle_tol: see secant_sweeps; chains of no more than `nodes` steps evaluate all that have not
    settled. data_variance: of a pixel, for the slopes of the first two rounds only.
    """
    found = secant_sweeps(
        chain,
        slopes(chain, data_variance),
        tol=tol,
        nodes=nodes,
        coarse_tol=coarse_tol,
        settle_tol=settle_tol,
        max_rounds=max_rounds,
        on_round=telling(on_round),
    )
    return sampled(found)


def slopes(chain: DDIMChain, data_variance: float) -> Slopes:
    """Derivatives of the steps: of Gaussian data with one variance, between those of known noise and of a known image.

    eps = x sqrt(1 - alpha_bar) / (alpha_bar v + 1 - alpha_bar) for data N(0, v I); v = 0 is a known image.
    """
    before = chain.alpha_bar[:-1]

    def step(v: float) -> Tensor:
        return chain.ratio + chain.scale * (1 - before).sqrt() / (before * v + 1 - before)

    known_image, known_noise = step(0.0), chain.ratio
    margin = 0.2 * (known_noise - known_image)
    return Slopes(step(data_variance), (known_image - margin).clamp_min(LEAST), known_noise + margin)
