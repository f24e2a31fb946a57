"""Quasi-DEER: the chain by Newton steps with a diagonal Jacobian, each solved by a parallel scan.

Source: Lim et al., "Parallelizing non-linear sequential models over the sequence length" (2024), with the diagonal of
Gonzalez et al., "Towards scalable and stable parallelization of nonlinear RNNs" (2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from deqbench.bounds import NonNegative, Seed
from deqbench.diffusion.chain import DDIMChain, along
from deqbench.diffusion.sampled import OfChain, Round, of_system
from deqbench.solvers.triangular import sweeps


def sample(chain: DDIMChain, *, tol: NonNegative = 1e-4, seed: Seed = 0) -> Iterator[Round]:
    """The chain until every state moved by at most `tol` of its length; settled states are not evaluated again.

    The exact diagonal of a network's Jacobian J takes a product with J for each of the state's values. Here it is
    estimated from one, v * J v with v of random signs (Hutchinson), drawn anew each round from a generator of `seed`.
    J v is a difference quotient: its error is far below that of the estimate, and it costs one evaluation, counted as
    a further round. (Forward-mode differentiation of a small U-Net took the time of 4.6 to 7.1 evaluations on one
    thread, and has no rule for torch's fused attention.) ValueError: tol < 0.
    """

    system = _Linearised(chain, torch.Generator().manual_seed(seed))
    return of_system(sweeps(system, window=chain.steps, tol=tol), calls=2)


@dataclass(frozen=True)
class _Linearised(OfChain):
    """The chain as a triangular system whose sweep treats the diagonal of each step's Jacobian exactly."""

    generator: torch.Generator

    def step_terms(self, states: Tensor, indices: Tensor) -> Tensor:
        """eps at the states and the estimated diagonal of its Jacobian: (M, 2, *dims)."""
        shape = self.steps, *states.shape[1:]
        signs = 2 * torch.randint(2, shape, generator=self.generator)[indices].to(states) - 1
        h = torch.finfo(states.dtype).eps ** (1 / 3)
        eps = self.chain.step_terms(states, indices)
        product = (self.chain.step_terms(states + h * signs, indices) - eps) / h
        return torch.stack([eps, signs * product], 1)

    def combine(
        self, base: Tensor, states: Tensor, terms: Tensor, first: int, split: Tensor | None, samples: Tensor | None
    ) -> Tensor:
        """The Newton step: x'_{j+1} = D_j x'_j + Phi_j(x_j) - D_j x_j with D_j the diagonal of Phi_j's Jacobian."""
        chain, window = self.chain, slice(first, first + terms.shape[1])
        eps, diagonal = terms.double().unbind(2)  # (b, M, *dims)
        coefficients = (chain.ratio, chain.scale, chain.noise_scale)
        ratio, eps_scale, noise_scale = (along(c[window], eps) for c in coefficients)
        slope = ratio + eps_scale * diagonal
        rest = (ratio - slope) * states + eps_scale * eps
        if chain.noise is not None:
            noise = chain.noise if samples is None else chain.noise[samples]
            rest += noise_scale * noise[:, window]
        rest[:, 0] += slope[:, 0] * base
        return scan(slope, rest).to(states.dtype)


def scan(slope: Tensor, rest: Tensor) -> Tensor:
    """x_j = slope_j x_{j-1} + rest_j from x_{-1} = 0, all (b, M, *dims), by doubling: log2 M passes."""
    reach = 1
    while reach < rest.shape[1]:
        rest = torch.cat([rest[:, :reach], slope[:, reach:] * rest[:, :-reach] + rest[:, reach:]], 1)
        slope = torch.cat([slope[:, :reach], slope[:, reach:] * slope[:, :-reach]], 1)
        reach *= 2
    return rest
