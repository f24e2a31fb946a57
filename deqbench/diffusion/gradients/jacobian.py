"""The joint map h~ around given states: its value and its transposed Jacobian, by batched products of the network."""

import torch
from torch import Tensor

from deqbench.diffusion.chain import DDIMChain


class Linearised:
    """h~(z; x_T) at states z (B, N, *dims), x_T held fixed.

    It keeps the graph of N - 1 evaluations an image while it lives. A state of h~ sums eps over all steps before it,
    and x_0 enters none: with P_i = ratio_0 ... ratio_i,
    (J^T v)_{j-1} = (d eps / dx at z_{j-1})^T (scale_j / P_j) sum_{i >= j} P_i v_i, and 0 for the last state.
    """

    def __init__(self, chain: DDIMChain, z: Tensor) -> None:
        self.chain, self.z = chain, z
        self.images, self.evaluations = len(z), chain.steps - 1  # of the network, an image
        self.products = chain.ratio.cumprod(0)[1:]
        if self.evaluations == 0:
            return
        indices = torch.arange(1, chain.steps).repeat(len(z))
        with torch.enable_grad():
            self.at = z[:, :-1].detach().flatten(0, 1).requires_grad_()  # (B (N - 1), *dims), before steps 1..N-1
            self.eps = chain.step_terms(self.at, indices)

    def value(self, first: Tensor) -> Tensor:
        """h~(z): (B, N, *dims), first (B, *dims) being its first state, which is x_T's alone."""
        if self.evaluations == 0:
            return first[:, None]
        eps = self.eps.detach().unflatten(0, (self.images, -1))
        return torch.cat([first[:, None], self.chain.combine(first, self.z[:, :-1], eps, first=1)], 1)

    def transposed(self, v: Tensor) -> Tensor:
        """J^T v: (B, N, *dims) -> (B, N, *dims), N - 1 vector-Jacobian products of the network an image."""
        product = torch.zeros_like(v)
        if self.evaluations == 0:
            return product
        weighted = torch.einsum("n,bn...->bn...", self.products.to(v.device), v[:, 1:].double())
        after = weighted.flip(1).cumsum(1).flip(1)  # sums over the states from each on
        scale = (self.chain.scale[1:] / self.products).to(v.device)
        terms = torch.einsum("n,bn...->bn...", scale, after).to(v.dtype).flatten(0, 1)
        (products,) = torch.autograd.grad(self.eps, self.at, terms, retain_graph=True)
        product[:, :-1] = products.unflatten(0, (self.images, -1))
        return product
